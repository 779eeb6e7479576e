package org.effnetlite

import java.nio.ByteBuffer

/**
 * Types of tensors that the library takes and gives.
 *
 * @property bytes Of one value.
 * @property code In schema.fbs, enum `TensorType`.
 */
enum class TensorType(val bytes: Int, internal val code: Int) {
    FLOAT32(4, 0),
    UINT8(1, 3),
    INT16(2, 7),
    INT8(1, 9);

    /** As NumPy and the golden check name it. */
    val dtype: String get() = name.lowercase()

    internal companion object {
        fun ofCode(code: Int): TensorType? = entries.firstOrNull { it.code == code }

        fun ofName(dtype: String): TensorType? = entries.firstOrNull { it.dtype == dtype }
    }
}

/**
 * An input or output. Integers stand for `scale * (value - zeroPoint)`.
 *
 * @property name As in the file.
 * @property shape Static, e.g. 1, 224, 224, 3.
 * @property scale Of a quantized tensor; 0 for a float one.
 */
data class TensorInfo(
    val name: String,
    val shape: List<Int>,
    val type: TensorType,
    val scale: Float = 0f,
    val zeroPoint: Int = 0,
) {
    /** Whether integers stand for reals. */
    val quantized: Boolean get() = scale != 0f

    /** How many values it holds. */
    val count: Int get() = shape.fold(1) { product, side -> product * side }

    /** How many bytes it takes. */
    val bytes: Int get() = count * type.bytes
}

/** A model loaded into a runtime. Used by one thread, the one that opened it. */
interface Engine : AutoCloseable {
    /** The runtime's name, as `effnet-lite benchmark` records it. */
    val runtime: String

    /** Of the runtime, e.g. `2.16.1`. */
    val runtimeVersion: String

    val inputs: List<TensorInfo>
    val outputs: List<TensorInfo>

    /**
     * Runs the model once.
     *
     * @param input The only input: a direct buffer in native byte order, read from its start.
     * @param outputs One such buffer for each output, written from its start.
     * @throws DelegateException It failed; the message says why.
     */
    fun run(input: ByteBuffer, outputs: List<ByteBuffer>)
}

/** Opens engines: [TfliteEngines] on a device, another runtime in tests. */
fun interface EngineFactory {
    /**
     * @param model The whole file: a direct (or mapped) buffer in native byte order, which stays
     *   unchanged until the engine is closed.
     * @param threads CPU threads, 1 or more.
     * @throws DelegateException The delegate does not load or does not take the model.
     */
    fun open(model: ByteBuffer, delegate: Delegate, threads: Int): Engine
}
