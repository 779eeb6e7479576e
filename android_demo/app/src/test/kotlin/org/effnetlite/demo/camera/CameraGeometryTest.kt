package org.effnetlite.demo.camera

import android.graphics.Matrix
import android.util.Size
import org.effnetlite.testing.DesktopRunner
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.annotation.GraphicsMode

/** Sizes, and which way is up. */
@RunWith(DesktopRunner::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class CameraGeometryTest {
    private val phone = sizes("4032x3024 1920x1080 1440x1080 1280x960 1280x720 640x480 320x240")

    @Test
    fun smallFramesAndALargePreviewOfOneShape() {
        assertEquals(Sizes(Size(1440, 1080), Size(640, 480)), chooseSizes(phone, phone, 480))
        assertEquals(Sizes(Size(1440, 1080), Size(1280, 960)), chooseSizes(phone, phone, 600))
        assertEquals(Sizes(Size(1440, 1080), Size(320, 240)), chooseSizes(phone, phone, 32))
    }

    @Test
    fun wideCamerasAndSmallOnes() {
        val wide = sizes("1920x1080 1280x720")
        assertEquals(Sizes(Size(1280, 720), Size(1280, 720)), chooseSizes(wide, wide, 480))
        val small = sizes("320x240 160x120")
        assertEquals(Sizes(Size(320, 240), Size(320, 240)), chooseSizes(small, small, 480))
        val huge = sizes("4032x3024")
        assertEquals(Sizes(Size(4032, 3024), Size(4032, 3024)), chooseSizes(huge, huge, 480))
    }

    @Test
    fun aCameraWithoutPictures() {
        assertNull(chooseSizes(phone, emptyList(), 480)) // a depth sensor
        assertNull(chooseSizes(emptyList(), phone, 480))
        assertNull(chooseSizes(sizes("640x480"), sizes("640x360"), 480))
    }

    @Test
    fun sensorsLieInDifferentWays() {
        // A phone: its sensor's long side lies along the device's, turned by a quarter.
        assertEquals(listOf(90, 0, 270, 180), turns(sensor = 90, front = false))
        assertEquals(listOf(270, 0, 90, 180), turns(sensor = 270, front = true))
        // A tablet made for landscape.
        assertEquals(listOf(0, 270, 180, 90), turns(sensor = 0, front = false))
    }

    /** Where a preview's upper left and lower right end up, in a view of 400 x 300 or 300 x 400. */
    @Test
    fun previewsStandUpright() {
        val whole = floatArrayOf(0f, 0f, 300f, 400f)
        assertArrayEquals(whole, previewTransform(300f, 400f, 0).map(whole), 0.01f)
        val turned = floatArrayOf(300f, 400f, 0f, 0f)
        assertArrayEquals(turned, previewTransform(300f, 400f, 180).map(whole), 0.01f)
        val lying = floatArrayOf(0f, 0f, 400f, 300f)
        val left = floatArrayOf(0f, 300f, 400f, 0f)
        assertArrayEquals(left, previewTransform(400f, 300f, 90).map(lying), 0.01f)
        val right = floatArrayOf(400f, 0f, 0f, 300f)
        assertArrayEquals(right, previewTransform(400f, 300f, 270).map(lying), 0.01f)
    }

    private fun turns(sensor: Int, front: Boolean): List<Int> =
        listOf(0, 90, 180, 270).map { uprightRotation(sensor, it, front) }

    private fun Matrix.map(points: FloatArray): FloatArray =
        FloatArray(points.size).also { mapPoints(it, points) }

    private fun sizes(text: String): List<Size> = text.split(' ').map { Size.parseSize(it) }
}
