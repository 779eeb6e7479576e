package org.effnetlite.demo.camera

import java.nio.ByteBuffer

/** One plane of a picture: where its samples lie. */
internal class Plane(val samples: ByteBuffer, val rowStride: Int, val pixelStride: Int)

/**
 * Turns pictures of `YUV_420_888` into RGB: BT.601 at full range, as JPEG (JFIF) has it and as
 * Android's cameras give it; each colour sample stands for 2 x 2 pixels.
 *
 * @param width In pixels; of an odd side the last samples stand for fewer pixels.
 */
internal class YuvConverter(private val width: Int, private val height: Int) {
    private val pixels = IntArray(width * height)
    private val luma = ByteArray(width)
    private var blue = ByteArray(0)
    private var red = ByteArray(0)

    /** ARGB, opaque, row by row; overwritten by the next call. */
    fun convert(y: Plane, u: Plane, v: Plane): IntArray {
        val chroma = (width + 1) / 2
        blue = rowOf(blue, (chroma - 1) * u.pixelStride + 1)
        red = rowOf(red, (chroma - 1) * v.pixelStride + 1)
        for (row in 0 until height) {
            readLuma(y, row)
            if (row % 2 == 0) {
                read(u, row / 2, blue)
                read(v, row / 2, red)
            }
            var place = row * width
            for (column in 0 until width) {
                val light = (luma[column].toInt() and 0xff) shl SHIFT
                val cb = (blue[column / 2 * u.pixelStride].toInt() and 0xff) - 128
                val cr = (red[column / 2 * v.pixelStride].toInt() and 0xff) - 128
                pixels[place++] = OPAQUE or
                    (level(light + RED_OF_CR * cr) shl 16) or
                    (level(light - GREEN_OF_CB * cb - GREEN_OF_CR * cr) shl 8) or
                    level(light + BLUE_OF_CB * cb)
            }
        }
        return pixels
    }

    private fun readLuma(plane: Plane, row: Int) {
        if (plane.pixelStride == 1) return read(plane, row, luma)
        for (column in 0 until width) {
            luma[column] = plane.samples.get(row * plane.rowStride + column * plane.pixelStride)
        }
    }

    /** One row at a time: reading a direct buffer byte by byte is slow. */
    private fun read(plane: Plane, row: Int, target: ByteArray) {
        val samples = plane.samples.duplicate()
        samples.position(row * plane.rowStride)
        samples.get(target, 0, target.size)
    }

    private fun rowOf(old: ByteArray, size: Int) = if (old.size == size) old else ByteArray(size)

    private companion object {
        const val OPAQUE = 0xff shl 24
        const val SHIFT = 16
        const val HALF = 1 shl (SHIFT - 1)

        // ITU-T T.871 (JFIF), in 1/65536.
        const val RED_OF_CR = 91881 // 1.402
        const val GREEN_OF_CB = 22554 // 0.344136
        const val GREEN_OF_CR = 46802 // 0.714136
        const val BLUE_OF_CB = 116130 // 1.772

        fun level(value: Int): Int = ((value + HALF) shr SHIFT).coerceIn(0, 255)
    }
}
