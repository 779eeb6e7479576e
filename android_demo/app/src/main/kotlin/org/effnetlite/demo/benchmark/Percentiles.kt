package org.effnetlite.demo.benchmark

import kotlin.math.floor

/**
 * A percentile as `numpy.percentile` has it, linear between neighbours.
 *
 * @param percent 0 to 100.
 * @throws IllegalArgumentException No values.
 */
fun percentile(values: DoubleArray, percent: Double): Double {
    require(values.isNotEmpty()) { "expected values, found none" }
    val sorted = values.sortedArray()
    val place = percent / 100 * (sorted.size - 1)
    val below = floor(place).toInt()
    val above = minOf(below + 1, sorted.size - 1)
    return sorted[below] + (place - below) * (sorted[above] - sorted[below])
}
