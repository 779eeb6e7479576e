package org.effnetlite.demo.classify

import android.graphics.Bitmap
import android.graphics.Color
import java.io.IOException
import kotlin.math.abs
import org.effnetlite.demo.TestApp
import org.effnetlite.demo.encoded
import org.effnetlite.demo.offer
import org.effnetlite.demo.offerGone
import org.effnetlite.demo.plain
import org.effnetlite.demo.withOrientation
import org.effnetlite.testing.DesktopRunner
import org.junit.Assert.assertEquals
import org.junit.Assert.assertSame
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RuntimeEnvironment
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode

/** Photos are read whole and upright. */
@RunWith(DesktopRunner::class)
@Config(application = TestApp::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class PhotoReaderTest {
    private val app get() = RuntimeEnvironment.getApplication()
    private val reader get() = PhotoReader(app.contentResolver)

    /** Four quarters of different colours, lying as a camera of each orientation would write it. */
    @Test
    fun everyExifOrientation() {
        val upright = quarters(64, 48, "RGBW")
        // EXIF 2.32, 4.6.4: what is at the visual top left, top right, bottom left, bottom right.
        val stored = mapOf(
            1 to "RGBW", 2 to "GRWB", 3 to "WBGR", 4 to "BWRG",
            5 to "RBGW", 6 to "GWRB", 7 to "WGBR", 8 to "BRWG",
        )
        for ((orientation, colours) in stored) {
            val lies = orientation >= 5
            val file = quarters(if (lies) 48 else 64, if (lies) 64 else 48, colours)
                .encoded(Bitmap.CompressFormat.JPEG)
            val uri = app.offer("$orientation.jpg", withOrientation(file, orientation))
            val photo = reader.read(uri)
            assertEquals("$orientation", 64, photo.pixels.width)
            assertEquals("$orientation", 48, photo.pixels.height)
            for ((x, y) in listOf(16 to 12, 48 to 12, 16 to 36, 48 to 36)) {
                val expected = upright.getPixel(x, y)
                assertNear("$orientation at $x, $y", expected, photo.pixels.getPixel(x, y))
            }
        }
    }

    @Test
    fun pixelsAreThoseOfTheFile() {
        val picture = quarters(301, 203, "WBGR")
        val photo = reader.read(app.offer("exact.png", picture.encoded()))
        assertTrue(picture.sameAs(photo.pixels))
        assertEquals(1, photo.sampling)
        assertSame("nothing to shrink", photo.pixels, photo.preview)
    }

    @Test
    fun aLargePhotoIsShownSmallerAndReadWhole() {
        val photo = reader.read(app.offer("large.png", plain(Color.RED, 3200, 100).encoded()))
        assertEquals(3200, photo.pixels.width)
        assertEquals(1, photo.sampling)
        assertEquals(1600, photo.preview.width)
        assertEquals(50, photo.preview.height)
    }

    @Test
    fun samplingOnlyForWantOfMemory() {
        val content = plain(Color.RED, 400, 300).encoded()
        val small = PhotoReader(app.contentResolver, budget = 400L * 300)
        val photo = small.read(app.offer("much.png", content))
        assertEquals(2, photo.sampling)
        assertEquals(200, photo.pixels.width)
        assertEquals(1, sampling(4000, 3000, 48_000_000))
        assertEquals(2, sampling(4000, 3000, 47_999_999))
        assertEquals(4, sampling(8000, 6000, 12_000_000))
    }

    @Test
    fun whatIsNoPhoto() {
        val files = listOf(
            app.offer("text.jpg", "not a picture".toByteArray()),
            app.offer("empty.jpg", ByteArray(0)),
            app.offerGone("gone.jpg"),
        )
        for (uri in files) assertThrows("$uri", IOException::class.java) { reader.read(uri) }
    }

    private fun quarters(width: Int, height: Int, colours: String): Bitmap {
        val bitmap = plain(Color.BLACK, width, height)
        for (y in 0 until height) for (x in 0 until width) {
            val place = (if (y < height / 2) 0 else 2) + (if (x < width / 2) 0 else 1)
            bitmap.setPixel(x, y, COLOURS.getValue(colours[place]))
        }
        return bitmap
    }

    /** JPEG at quality 95 in the middle of a plain quarter. */
    private fun assertNear(where: String, expected: Int, found: Int) {
        for (channel in listOf<(Int) -> Int>(Color::red, Color::green, Color::blue)) {
            assertTrue(
                "$where: expected %08x, found %08x".format(expected, found),
                abs(channel(expected) - channel(found)) <= 8,
            )
        }
    }

    private companion object {
        val COLOURS = mapOf(
            'R' to Color.rgb(200, 40, 40), 'G' to Color.rgb(40, 180, 60),
            'B' to Color.rgb(40, 60, 200), 'W' to Color.rgb(230, 230, 230),
        )
    }
}
