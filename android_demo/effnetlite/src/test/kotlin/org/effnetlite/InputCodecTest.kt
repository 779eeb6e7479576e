package org.effnetlite

import org.junit.Assert.assertEquals
import org.junit.Test

/**
 * Pixels as an input tensor. The expected numbers are what `input_codec` of
 * effnet_lite.quantize.tflite.runtime gives for the same input.
 */
class InputCodecTest {
    // Five pixels of one row, and a second row that is the same.
    private val pixels = intArrayOf(0x000000, 0x010203, 0x7f8081, 0xc86432, 0xffffff)

    private val imageNet = Normalization(
        listOf(123.675f, 116.28f, 103.53f), listOf(58.395f, 57.12f, 57.375f),
    )
    private val lite = Normalization(127f, 128f)

    private fun encoded(type: TensorType, scale: Float, zero: Int, how: Normalization): List<Float> {
        val info = TensorInfo("image", listOf(1, 2, 5, 3), type, scale, zero)
        val target = directBuffer(info.bytes)
        InputCodec(info, how, target).all(pixels + pixels)
        val values = List(info.count) { raw(target, type, it) }
        assertEquals("both rows", values.take(15), values.drop(15))
        return values.take(15)
    }

    private fun assertIntegers(expected: List<Int>, found: List<Float>) =
        assertEquals(expected, found.map { it.toInt() })

    @Test
    fun `floats are normalised channel by channel, in float32`() {
        val expected = listOf(
            -2.1179039478302f, -2.0357143878936768f, -1.804444432258606f, -2.1007792949676514f,
            -2.0007002353668213f, -1.7521568536758423f, 0.056939754635095596f, 0.20518210530281067f,
            0.44392159581184387f, 1.3070467710494995f, -0.28501400351524353f, -0.9329847097396851f,
            2.248908281326294f, 2.4285714626312256f, 2.640000104904175f,
        )
        assertEquals(expected, encoded(TensorType.FLOAT32, 0f, 0, imageNet))
    }

    @Test
    fun `folded normalisations take pixels as they are, or less 128`() {
        val plain = listOf(0, 0, 0, 1, 2, 3, 127, 128, 129, 200, 100, 50, 255, 255, 255)
        assertIntegers(plain, encoded(TensorType.UINT8, 1 / 128f, 127, lite))
        assertIntegers(plain.map { it - 128 }, encoded(TensorType.INT8, 1 / 128f, -1, lite))
    }

    @Test
    fun `other scales are rounded half to even and clipped`() {
        assertIntegers(
            listOf(1, 5, 18, 2, 7, 20, 117, 125, 138, 184, 99, 64, 234, 244, 255),
            encoded(TensorType.UINT8, 0.0187f, 114, imageNet),
        )
        // (pixel - 127) / 2 + 64: each second pixel is a tie.
        assertIntegers(
            listOf(0, 0, 0, 1, 2, 2, 64, 64, 65, 100, 50, 26, 128, 128, 128),
            encoded(TensorType.UINT8, 1 / 64f, 64, lite),
        )
        assertIntegers(
            listOf(-32512, -32512, -32512, -32256, -32000, -31744, 0, 256, 512, 18688, -6912, -19712,
                32767, 32767, 32767),
            encoded(TensorType.INT16, 3.0517578e-5f, 0, lite),
        )
    }
}
