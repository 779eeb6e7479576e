package org.effnetlite

import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.math.abs

/**
 * A few pixels and what the model answered to them when it was made: quantize/tflite/golden.py.
 *
 * The pixels are a grid, enlarged to the input by nearest neighbour,
 * `pixel(y, x) = grid[y * G / H][x * G / W]` with integer division.
 *
 * @property height Of the model's input in pixels.
 * @property width The same.
 * @property gridSize Side G of the grid.
 * @property dtype Of the raw output, as NumPy names it.
 * @property step One step in the output's own units.
 * @property tolerance The largest difference that passes, in steps.
 * @throws ModelException A value that cannot be.
 */
class GoldenCheck internal constructor(
    val height: Int,
    val width: Int,
    val gridSize: Int,
    internal val grid: ByteArray,
    val dtype: String,
    internal val output: ByteArray,
    val step: Double,
    val tolerance: Double,
) {
    private val itemSize = ITEM_SIZES[dtype]
        ?: throw ModelException("golden check: unknown output type ${printable(dtype)}")

    /** How many outputs it expects. */
    val count: Int get() = output.size / itemSize

    init {
        if (gridSize !in 1..MAX_GRID_SIZE || grid.size != gridSize * gridSize * 3) {
            throw ModelException("golden check: the grid is not $gridSize x $gridSize RGB pixels")
        }
        if (step <= 0 || tolerance < 0) {
            throw ModelException("golden check: expected a positive step and tolerance")
        }
        if (output.isEmpty() || output.size % itemSize != 0) {
            throw ModelException("golden check: ${output.size} bytes of output are no $dtype vector")
        }
    }

    /** The pixels, `height * width` of them as 0xRRGGBB, written into [pixels] from its start. */
    internal fun pixels(pixels: IntArray) {
        for (y in 0 until height) {
            val row = y * gridSize / height * gridSize
            for (x in 0 until width) {
                val at = (row + x * gridSize / width) * 3
                pixels[y * width + x] = channel(at) shl 16 or (channel(at + 1) shl 8) or
                    channel(at + 2)
            }
        }
    }

    /**
     * Compares what the model answers to [pixels].
     *
     * @param raw The output tensor as the model wrote it, in native byte order.
     * @param type Its type.
     * @throws ModelException Another type or length than the check expects.
     */
    internal fun compare(raw: ByteBuffer, type: TensorType): GoldenResult {
        val found = values(raw, type.dtype)
        if (type.dtype != dtype || found.size != count) {
            throw ModelException(
                "the golden check expects $count $dtype outputs, found ${found.size} " +
                    "${type.dtype}; it belongs to another model"
            )
        }
        if (!found.all { it.isFinite() }) return GoldenResult(false, Double.POSITIVE_INFINITY, false)
        val expected = values(ByteBuffer.wrap(output).order(ByteOrder.LITTLE_ENDIAN), dtype)
        val steps = found.indices.maxOf { abs(found[it] - expected[it]) } / step
        return GoldenResult(steps <= tolerance, steps, highest(found) == highest(expected))
    }

    private fun channel(at: Int): Int = grid[at].toInt() and 0xff

    private fun values(data: ByteBuffer, dtype: String): DoubleArray {
        val size = ITEM_SIZES.getValue(dtype)
        return DoubleArray(data.capacity() / size) {
            when (dtype) {
                "uint8" -> (data.get(it).toInt() and 0xff).toDouble()
                "int8" -> data.get(it).toDouble()
                "int16" -> data.getShort(2 * it).toDouble()
                "float16" -> halfToFloat(data.getShort(2 * it)).toDouble()
                else -> data.getFloat(4 * it).toDouble()
            }
        }
    }

    internal companion object {
        const val MAX_GRID_SIZE = 64
        private val ITEM_SIZES =
            mapOf("uint8" to 1, "int8" to 1, "int16" to 2, "float16" to 2, "float32" to 4)
    }
}

/** The first index of the highest value, as NumPy's argmax. */
private fun highest(values: DoubleArray): Int {
    var best = 0
    for (index in values.indices) if (values[index] > values[best]) best = index
    return best
}

/** IEEE 754 half precision; Android's own `Half` came with API 26. */
internal fun halfToFloat(bits: Short): Float {
    val value = bits.toInt() and 0xffff
    val sign = if (value and 0x8000 != 0) -1f else 1f
    val exponent = value shr 10 and 0x1f
    val fraction = value and 0x3ff
    return sign * when (exponent) {
        0 -> fraction * SMALLEST_HALF
        0x1f -> if (fraction == 0) Float.POSITIVE_INFINITY else Float.NaN
        else -> Float.fromBits(exponent + 112 shl 23 or (fraction shl 13))
    }
}

private const val SMALLEST_HALF = 5.9604645e-8f // 2 to the power of -24
