package org.effnetlite

/** Codes of schema.fbs, enum `BuiltinOperator`, as far as the library looks at them. */
internal object Operators {
    const val AVERAGE_POOL_2D = 1
    const val CONV_2D = 3
    const val DEQUANTIZE = 6
    const val FULLY_CONNECTED = 9
    const val LOGISTIC = 14
    const val RESHAPE = 22
    const val SOFTMAX = 25
    const val CUSTOM = 32
    const val MEAN = 40
    const val SQUEEZE = 43
    const val QUANTIZE = 114

    /** Those that change how values are stored, not the values. */
    val CONVERSIONS = setOf(QUANTIZE, DEQUANTIZE)

    /** Those that change a vector's shape, not its order. */
    val RESHAPES = setOf(RESHAPE, SQUEEZE)

    /** Those that make probabilities of logits. */
    val SQUASHES = setOf(SOFTMAX, LOGISTIC)

    /**
     * How many inputs, from the first, an operator cannot do without. What comes behind them (a
     * bias, a gate) may be left out; kernels check only that.
     */
    fun neededInputs(kind: Int): Int = when (kind) {
        CUSTOM -> 0
        in TWO -> 2
        in THREE -> 3
        in FOUR -> 4
        else -> 1
    }

    // The lists of quantize/tflite/check.py as codes; tests/android/test_kotlin_tables.py compares.
    private val TWO = setOf(
        0, 2, 3, 4, 7, 9, 18, 23, 34, 36, 39, 40, 41, 42, 48, 49, 54, 55, 56, 57, 58, 61, 62, 63,
        69, 70, 71, 72, 74, 78, 79, 81, 82, 83, 84, 86, 89, 90, 95, 97, 99, 100, 107, 126, 130,
    )
    private val THREE = setOf(37, 38, 60, 64, 65, 67, 96, 102, 106, 123, 132, 141)
    private val FOUR = setOf(45, 85)
}
