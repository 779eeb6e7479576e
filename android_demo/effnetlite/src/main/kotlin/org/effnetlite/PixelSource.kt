package org.effnetlite

import android.graphics.Bitmap
import android.os.Build

/** A picture whose pixels can be read, rectangle by rectangle. */
internal interface PixelSource {
    val width: Int
    val height: Int

    /** Whether pixels may be transparent. */
    val hasAlpha: Boolean

    /**
     * Reads a rectangle, row by row without gaps.
     *
     * @param pixels 0xAARRGGBB each, not premultiplied; written from its start.
     */
    fun read(pixels: IntArray, left: Int, top: Int, width: Int, height: Int)
}

/**
 * The pixels of a bitmap of any configuration, in sRGB.
 *
 * @throws IllegalArgumentException The bitmap is recycled.
 */
internal class BitmapPixels(bitmap: Bitmap) : PixelSource {
    private val readable = readable(bitmap)
    override val width: Int = bitmap.width
    override val height: Int = bitmap.height
    override val hasAlpha: Boolean = bitmap.hasAlpha()

    override fun read(pixels: IntArray, left: Int, top: Int, width: Int, height: Int) =
        readable.getPixels(pixels, 0, width, left, top, width, height)

    private companion object {
        fun readable(bitmap: Bitmap): Bitmap {
            require(!bitmap.isRecycled) { "the bitmap is recycled; classify it before" }
            val inGraphicsMemory =
                Build.VERSION.SDK_INT >= Build.VERSION_CODES.O &&
                    bitmap.config == Bitmap.Config.HARDWARE
            if (!inGraphicsMemory) return bitmap
            return requireNotNull(bitmap.copy(Bitmap.Config.ARGB_8888, false)) {
                "the bitmap cannot be read from graphics memory"
            }
        }
    }
}

/**
 * Lays transparent pixels over white, in Pillow's fixed point (src/libImaging/AlphaComposite.c with
 * an opaque background).
 *
 * @param pixels 0xAARRGGBB; the first [count] become opaque.
 */
internal fun overWhite(pixels: IntArray, count: Int) {
    for (index in 0 until count) {
        val pixel = pixels[index]
        val alpha = pixel ushr 24
        if (alpha == 255) continue
        if (alpha == 0) {
            pixels[index] = -1
            continue
        }
        val front = alpha * 255 * 255 * (1 shl ALPHA_BITS) / (255 * 255)
        val back = (255 shl ALPHA_BITS) - front
        val red = blend(pixel shr 16 and 0xff, front, back)
        val green = blend(pixel shr 8 and 0xff, front, back)
        val blue = blend(pixel and 0xff, front, back)
        pixels[index] = 255 shl 24 or (red shl 16) or (green shl 8) or blue
    }
}

private const val ALPHA_BITS = 7

private fun blend(value: Int, front: Int, back: Int): Int {
    val sum = value * front + 255 * back + (0x80 shl ALPHA_BITS)
    return ((sum shr 8) + sum shr 8) shr ALPHA_BITS
}
