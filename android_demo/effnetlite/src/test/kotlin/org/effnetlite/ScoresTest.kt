package org.effnetlite

import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test

/** Order, ties and softmax, against NumPy's answers. */
class ScoresTest {
    @Test
    fun `of equal scores the lower index comes first`() {
        val values = doubleArrayOf(0.1, 0.5, 0.2, 0.5, 0.5, 0.0)
        assertEquals(listOf(1, 3, 4, 2), top(values, 4))
        assertEquals(listOf(1), top(values, 1))
        assertEquals(listOf(1, 3, 4, 2, 0, 5), top(values, 99))
        assertEquals(listOf(0, 1, 2), top(DoubleArray(10), 3))
    }

    @Test
    fun `the order is that of a stable sort`() {
        val random = java.util.Random(3)
        repeat(200) {
            val values = DoubleArray(1 + random.nextInt(60)) { random.nextInt(9) / 8.0 }
            val count = 1 + random.nextInt(12)
            val expected = values.indices.sortedByDescending { values[it] }.take(count)
            assertEquals(expected, top(values, count))
        }
    }

    @Test
    fun `softmax is Python's`() {
        // effnet_lite.quantize.fidelity.softmax(np.array([1, 2, 3.5, -100], np.float32))
        val values = doubleArrayOf(1.0, 2.0, 3.5, -100.0)
        softmax(values)
        val expected = doubleArrayOf(
            0.0628900132458675, 0.17095278019779026, 0.7661572065563422, 8.606746546961612e-46,
        )
        for (index in values.indices) {
            assertEquals(expected[index], values[index], 1e-14 * expected[index])
        }
        assertEquals(1.0, values.sum(), 1e-12)
    }

    @Test
    fun `half floats are IEEE 754's`() {
        val cases = mapOf(
            0x0000 to 0f, 0x3c00 to 1f, 0xc000 to -2f, 0x7bff to 65504f, 0x3555 to 0.33325195f,
            0x0001 to 5.9604645e-8f, 0x03ff to 6.097555e-5f, 0x0400 to 6.1035156e-5f,
            0x7c00 to Float.POSITIVE_INFINITY, 0xfc00 to Float.NEGATIVE_INFINITY,
        )
        for ((bits, value) in cases) assertEquals(value, halfToFloat(bits.toShort()), 0f)
        assertTrue(halfToFloat(0x7e00.toShort()).isNaN())
    }
}
