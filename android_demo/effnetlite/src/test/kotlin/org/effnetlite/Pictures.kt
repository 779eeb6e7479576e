package org.effnetlite

import android.graphics.Bitmap

/** A bitmap turned clockwise by 90, 180 or 270 degrees, pixel by pixel. */
internal fun turned(bitmap: Bitmap, degrees: Int): Bitmap {
    val width = bitmap.width
    val height = bitmap.height
    val pixels = IntArray(width * height)
    bitmap.getPixels(pixels, 0, width, 0, 0, width, height)
    val swapped = degrees % 180 != 0
    val result = IntArray(pixels.size)
    val across = if (swapped) height else width
    for (y in 0 until height) for (x in 0 until width) {
        val (down, right) = when (degrees) {
            90 -> Pair(x, height - 1 - y)
            180 -> Pair(height - 1 - y, width - 1 - x)
            else -> Pair(width - 1 - x, y)
        }
        result[down * across + right] = pixels[y * width + x]
    }
    return Bitmap.createBitmap(
        result, across, if (swapped) width else height, Bitmap.Config.ARGB_8888,
    )
}

/** A bitmap of one colour. */
internal fun plain(width: Int, height: Int, colour: Int): Bitmap =
    Bitmap.createBitmap(
        IntArray(width * height) { colour }, width, height, Bitmap.Config.ARGB_8888,
    )
