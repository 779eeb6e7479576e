package org.effnetlite

import java.nio.ByteBuffer
import kotlin.math.abs
import kotlin.math.exp

/**
 * From a raw output to categories, as benchmark/classify.py: probabilities as they are, logits
 * through a softmax in float64, best first, and of equal ones the lower index first.
 */
internal class Scores(private val description: ModelDescription) {
    private val values = DoubleArray(description.classes)

    /**
     * The [count] most probable, or all where there are fewer.
     *
     * @param raw The output vector as the model wrote it, in native byte order.
     * @throws ModelException It holds infinities or NaN.
     */
    fun best(raw: ByteBuffer, count: Int): List<Category> {
        for (index in values.indices) values[index] = real(raw, description.output, index).toDouble()
        if (!values.all { it.isFinite() }) {
            throw ModelException("the model answers with infinities or NaN; its weights are broken")
        }
        if (!isProbability()) softmax(values)
        return top(values, count).map {
            Category(it, description.labels[it], values[it].toFloat())
        }
    }

    private fun isProbability(): Boolean = when (description.head) {
        Head.SOFTMAX -> true
        Head.LOGITS -> false
        // A foreign file: 8-bit softmax outputs sum to 1 but for their rounding.
        null -> values.min() >= 0 && abs(values.sum() - 1) < 0.25
    }
}

/** In place. The differences are float32, as NumPy takes them of float32 logits. */
internal fun softmax(values: DoubleArray) {
    val highest = values.max()
    for (index in values.indices) {
        values[index] = exp((values[index].toFloat() - highest.toFloat()).toDouble())
    }
    val sum = values.sum()
    for (index in values.indices) values[index] /= sum
}

/** The indices of the [count] highest values, best first; of equal ones the lower index first. */
internal fun top(values: DoubleArray, count: Int): List<Int> {
    val best = ArrayList<Int>(count.coerceAtMost(values.size) + 1)
    for (index in values.indices) {
        if (best.size >= count && values[index] <= values[best.last()]) continue
        var place = best.size
        while (place > 0 && values[index] > values[best[place - 1]]) place--
        best.add(place, index)
        if (best.size > count) best.removeAt(count)
    }
    return best
}
