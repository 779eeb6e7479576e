package org.effnetlite

import kotlin.math.abs
import kotlin.math.ceil

/**
 * Pillow's filters of one axis, in its 8-bit fixed point, number for number: src/libImaging/Resample.c
 * (`precompute_coeffs`, `normalize_coeffs_8bpc`), and for the nearest neighbour Geometry.c
 * (`ImagingScaleAffine`).
 *
 * Output x is `sum over k of weights[x][k] * input[first[x] + k]`, shifted right by [BITS] after
 * adding [HALF], and clipped to 0-255.
 *
 * @property first Where an output's window begins, by output.
 * @property count How long it is.
 * @property weights `stride` places an output.
 */
internal class Resampling private constructor(
    val first: IntArray,
    val count: IntArray,
    val weights: IntArray,
    val stride: Int,
) {
    companion object {
        /** Bits behind the point: 32, less 8 of the result and 2 to spare. */
        const val BITS = 22

        /** A half, for rounding. */
        const val HALF = 1 shl (BITS - 1)

        /** From [source] pixels to [size], both 1 or more. */
        fun of(resize: Resize, source: Int, size: Int): Resampling = when (resize) {
            Resize.NEAREST -> nearest(source, size)
            Resize.BILINEAR -> filtered(source, size, 1.0, ::triangle)
            Resize.BICUBIC -> filtered(source, size, 2.0, ::cubic)
        }

        private fun nearest(source: Int, size: Int): Resampling {
            val step = source.toDouble() / size
            // Summed up, as Pillow does: the rounding of the sum decides on ties.
            var position = step * 0.5
            val first = IntArray(size) {
                val pixel = position.toInt().coerceAtMost(source - 1)
                position += step
                pixel
            }
            return Resampling(first, IntArray(size) { 1 }, IntArray(size) { 1 shl BITS }, 1)
        }

        private fun filtered(
            source: Int,
            size: Int,
            reach: Double,
            filter: (Double) -> Double,
        ): Resampling {
            val scale = source.toDouble() / size
            val filterScale = scale.coerceAtLeast(1.0)
            val support = reach * filterScale
            val stride = ceil(support).toInt() * 2 + 1
            val inverse = 1.0 / filterScale
            val table = Resampling(IntArray(size), IntArray(size), IntArray(size * stride), stride)
            val window = DoubleArray(stride)
            for (x in 0 until size) {
                val center = (x + 0.5) * scale
                val first = (center - support + 0.5).toInt().coerceAtLeast(0)
                val count = (center + support + 0.5).toInt().coerceAtMost(source) - first
                for (k in 0 until count) window[k] = filter((k + first - center + 0.5) * inverse)
                table.first[x] = first
                table.count[x] = count
                fixed(window, count, table.weights, x * stride)
            }
            return table
        }

        /** Weights that sum to 1, rounded away from 0 to fixed point. */
        private fun fixed(window: DoubleArray, count: Int, weights: IntArray, start: Int) {
            var sum = 0.0
            for (k in 0 until count) sum += window[k]
            for (k in 0 until count) {
                val weight = (if (sum != 0.0) window[k] / sum else window[k]) * (1 shl BITS)
                weights[start + k] = (if (weight < 0) weight - 0.5 else weight + 0.5).toInt()
            }
        }

        private fun triangle(x: Double): Double = if (abs(x) < 1) 1 - abs(x) else 0.0

        /** Keys' cubic with a = -0.5, in the order of Pillow's operations. */
        private fun cubic(distance: Double): Double {
            val x = abs(distance)
            return when {
                x < 1.0 -> ((A + 2.0) * x - (A + 3.0)) * x * x + 1
                x < 2.0 -> (((x - 5) * x + 8) * x - 4) * A
                else -> 0.0
            }
        }

        private const val A = -0.5
    }
}
