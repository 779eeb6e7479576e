package org.effnetlite

import java.nio.ByteBuffer
import java.nio.FloatBuffer
import java.nio.ShortBuffer

/**
 * Writes pixels into a model's input tensor: `(pixel - mean) / std`, then quantized. For an input
 * with the normalisation folded in, the result is the pixels themselves (or pixels - 128 for int8).
 *
 * There are 256 values a channel: a table is exact and faster than arithmetic. The same numbers as
 * `input_codec` of quantize/tflite/runtime.py.
 *
 * @param info The input, `(1, height, width, 3)`.
 * @param target Its buffer, direct and in native byte order, which is written from now on.
 */
internal class InputCodec(
    private val info: TensorInfo,
    normalization: Normalization,
    private val target: ByteBuffer,
) {
    private val width = info.shape[2]
    private val tables = Array(3) { table(info, normalization, it) }
    private val floats: FloatBuffer = target.asFloatBuffer()
    private val shorts: ShortBuffer = target.asShortBuffer()
    private val byteRow = ByteArray(if (info.type.bytes == 1) width * 3 else 0)
    private val shortRow = ShortArray(if (info.type.bytes == 2) width * 3 else 0)
    private val floatRow = FloatArray(if (info.type.bytes == 4) width * 3 else 0)

    /**
     * Writes one row.
     *
     * @param pixels 0xRRGGBB each, a row of them from [start].
     */
    fun row(y: Int, pixels: IntArray, start: Int) {
        val (red, green, blue) = tables
        when (info.type) {
            TensorType.FLOAT32 -> {
                each(pixels, start) { at, r, g, b ->
                    floatRow[at] = red[r]
                    floatRow[at + 1] = green[g]
                    floatRow[at + 2] = blue[b]
                }
                floats.seek(y * width * 3)
                floats.put(floatRow)
            }
            TensorType.INT16 -> {
                each(pixels, start) { at, r, g, b ->
                    shortRow[at] = red[r].toInt().toShort()
                    shortRow[at + 1] = green[g].toInt().toShort()
                    shortRow[at + 2] = blue[b].toInt().toShort()
                }
                shorts.seek(y * width * 3)
                shorts.put(shortRow)
            }
            TensorType.UINT8, TensorType.INT8 -> {
                each(pixels, start) { at, r, g, b ->
                    byteRow[at] = red[r].toInt().toByte()
                    byteRow[at + 1] = green[g].toInt().toByte()
                    byteRow[at + 2] = blue[b].toInt().toByte()
                }
                target.seek(y * width * 3)
                target.put(byteRow)
            }
        }
    }

    /** Writes rows of 0xRRGGBB pixels, as many as the input has. */
    fun all(pixels: IntArray) {
        for (y in 0 until info.shape[1]) row(y, pixels, y * width)
    }

    private inline fun each(pixels: IntArray, start: Int, put: (Int, Int, Int, Int) -> Unit) {
        for (x in 0 until width) {
            val pixel = pixels[start + x]
            put(3 * x, pixel shr 16 and 0xff, pixel shr 8 and 0xff, pixel and 0xff)
        }
    }

    private companion object {
        /** What a channel's pixel values 0 to 255 become, in the input's own units. */
        fun table(info: TensorInfo, normalization: Normalization, channel: Int) = FloatArray(256) {
            val value = (it - normalization.mean(channel)) / normalization.std(channel)
            if (info.quantized) quantized(info, value) else value
        }

        fun quantized(info: TensorInfo, value: Float): Float {
            val range = when (info.type) {
                TensorType.UINT8 -> 0.0..255.0
                TensorType.INT8 -> -128.0..127.0
                else -> -32768.0..32767.0
            }
            // Rounded half to even, as NumPy's rint.
            return (Math.rint(value.toDouble() / info.scale) + info.zeroPoint)
                .coerceIn(range).toFloat()
        }
    }
}
