package org.effnetlite.demo.views

import android.graphics.Bitmap
import android.graphics.Color
import kotlin.math.round
import kotlin.math.roundToInt

/**
 * The colours of `effnet-lite explain` (benchmark/heatmap.py): matplotlib's "inferno" by Nathaniel
 * Smith and Stéfan van der Walt (CC0), whose lightness rises evenly, so that it reads in grey and
 * without colour vision.
 */
object HeatColours {
    private val INFERNO = intArrayOf(
        0x000004, 0x160b39, 0x420a68, 0x6a176e, 0x932667, 0xbc3754,
        0xdd513a, 0xf37819, 0xfca50a, 0xf6d746, 0xfcffa4,
    )

    // How much of the colour covers the picture, at the lowest and at the highest value.
    private const val LOWEST = 0.35
    private const val HIGHEST = 0.75

    /** The colour of a share, 0 to 1, opaque. */
    fun of(share: Double): Int {
        val place = share.coerceIn(0.0, 1.0) * (INFERNO.size - 1)
        val low = place.toInt().coerceAtMost(INFERNO.size - 2)
        val part = place - low
        // round() takes halves to the even number, as NumPy does.
        fun mix(colour: (Int) -> Int) =
            round(colour(INFERNO[low]) * (1 - part) + colour(INFERNO[low + 1]) * part).toInt()
        return Color.rgb(mix(Color::red), mix(Color::green), mix(Color::blue))
    }

    /**
     * A picture of one pixel a value, to be spread over what the values are about. All alike,
     * they are all as the lowest.
     */
    fun picture(rows: Int, columns: Int, values: FloatArray): Bitmap {
        val low = values.min().toDouble()
        val range = values.max() - low
        val pixels = IntArray(rows * columns) { place ->
            val share = if (range > 0) (values[place] - low) / range else 0.0
            val opacity = LOWEST + (HIGHEST - LOWEST) * share
            (of(share) and 0xffffff) or ((255 * opacity).roundToInt() shl 24)
        }
        return Bitmap.createBitmap(pixels, columns, rows, Bitmap.Config.ARGB_8888)
    }
}
