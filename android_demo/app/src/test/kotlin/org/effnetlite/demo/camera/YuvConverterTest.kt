package org.effnetlite.demo.camera

import java.nio.ByteBuffer
import kotlin.math.abs
import kotlin.math.roundToInt
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test

/** Colours, and the ways in which cameras lay out planes. */
class YuvConverterTest {
    @Test
    fun knownColours() {
        // JFIF's YCbCr of pure colours.
        val colours = mapOf(
            Triple(0, 128, 128) to 0x000000, Triple(255, 128, 128) to 0xffffff,
            Triple(76, 85, 255) to 0xfe0000, Triple(150, 44, 21) to 0x00ff01,
            Triple(29, 255, 107) to 0x0000fe, Triple(128, 128, 128) to 0x808080,
        )
        for ((yuv, rgb) in colours) {
            val (y, u, v) = yuv
            val found = YuvConverter(2, 2).convert(
                plane(2, 1, List(4) { y }), plane(1, 1, listOf(u)), plane(1, 1, listOf(v)),
            )
            for (pixel in found) assertNear(rgb, pixel)
        }
    }

    @Test
    fun layoutsGiveTheSamePixels() {
        val width = 7
        val height = 5
        val y = List(width * height) { (it * 37 + 11) % 256 }
        val u = List(4 * 3) { (it * 61 + 5) % 256 }
        val v = List(4 * 3) { (it * 97 + 200) % 256 }
        val planar = YuvConverter(width, height)
            .convert(plane(7, 1, y), plane(4, 1, u), plane(4, 1, v)).copyOf()
        // Rows padded to 16 bytes; U and V interleaved, as NV12 and NV21 have them.
        val mixed = YuvConverter(width, height)
            .convert(padded(y, 7, 16, 1), padded(u, 4, 16, 2), padded(v, 4, 16, 2)).copyOf()
        val spread = YuvConverter(width, height)
            .convert(padded(y, 7, 32, 2), padded(u, 4, 32, 2), padded(v, 4, 32, 2))
        assertEquals(planar.toList(), mixed.toList())
        assertEquals(planar.toList(), spread.toList())
        for (place in planar.indices) {
            val row = place / width
            val chroma = row / 2 * 4 + place % width / 2
            assertNear(rgb(y[place], u[chroma], v[chroma]), planar[place])
        }
    }

    /** ITU-T T.871, in reals. */
    private fun rgb(y: Int, u: Int, v: Int): Int {
        fun level(value: Double) = value.roundToInt().coerceIn(0, 255)
        val red = level(y + 1.402 * (v - 128))
        val green = level(y - 0.344136 * (u - 128) - 0.714136 * (v - 128))
        val blue = level(y + 1.772 * (u - 128))
        return (red shl 16) or (green shl 8) or blue
    }

    /** Within a level: of the fixed-point arithmetic. */
    private fun assertNear(rgb: Int, pixel: Int) {
        assertEquals("opaque", 0xff, pixel ushr 24)
        for (shift in listOf(0, 8, 16)) {
            val difference = abs(((rgb shr shift) and 0xff) - ((pixel shr shift) and 0xff))
            assertTrue("%06x and %08x".format(rgb, pixel), difference <= 1)
        }
    }

    private fun plane(rowStride: Int, pixelStride: Int, values: List<Int>): Plane {
        val buffer = ByteBuffer.allocateDirect(values.size)
        values.forEachIndexed { place, value -> buffer.put(place, value.toByte()) }
        return Plane(buffer, rowStride, pixelStride)
    }

    /** The last row ends with its last sample, as cameras' do. */
    private fun padded(values: List<Int>, columns: Int, rowStride: Int, pixelStride: Int): Plane {
        val rows = values.size / columns
        val size = (rows - 1) * rowStride + (columns - 1) * pixelStride + 1
        val spread = MutableList(size) { 77 }
        values.forEachIndexed { place, value ->
            spread[place / columns * rowStride + place % columns * pixelStride] = value
        }
        return plane(rowStride, pixelStride, spread)
    }
}
