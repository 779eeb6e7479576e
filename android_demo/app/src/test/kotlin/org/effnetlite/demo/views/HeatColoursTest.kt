package org.effnetlite.demo.views

import android.graphics.Color
import org.effnetlite.testing.DesktopRunner
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.annotation.GraphicsMode

/** The colours of maps are those of `effnet-lite explain`. */
@RunWith(DesktopRunner::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class HeatColoursTest {
    @Test
    fun coloursArePythons() {
        // effnet_lite.benchmark.heatmap.colours(share)
        val expected = mapOf(
            0.0 to "000004",
            0.1 to "160b39",
            0.2 to "420a68",
            0.3 to "6a176e",
            0.4 to "932667",
            0.5 to "bc3754",
            0.6 to "dd513a",
            0.7 to "f37819",
            0.8 to "fca50a",
            0.9 to "f6d746",
            1.0 to "fcffa4",
            0.03 to "070314",
            0.25 to "56106b",
            0.77 to "f9980e",
        )
        for ((share, colour) in expected) {
            assertEquals("$share", colour, "%06x".format(HeatColours.of(share) and 0xffffff))
        }
        assertEquals(HeatColours.of(0.0), HeatColours.of(-1.0))
        assertEquals(HeatColours.of(1.0), HeatColours.of(2.0))
    }

    @Test
    fun highValuesCoverMoreThanLowOnes() {
        val picture = HeatColours.picture(2, 3, floatArrayOf(-1f, 0f, 1f, 2f, 3f, 4f))
        assertEquals(3, picture.width)
        assertEquals(2, picture.height)
        val opacities = List(6) { Color.alpha(picture.getPixel(it % 3, it / 3)) }
        assertEquals(opacities.sorted(), opacities)
        assertEquals(89, opacities.first()) // 0.35 of 255
        assertEquals(191, opacities.last()) // 0.75
        val flat = HeatColours.picture(1, 2, floatArrayOf(5f, 5f))
        assertTrue(flat.getPixel(0, 0) == flat.getPixel(1, 0))
    }
}
