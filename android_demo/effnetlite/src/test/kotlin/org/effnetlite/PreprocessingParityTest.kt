package org.effnetlite

import org.effnetlite.testing.DesktopRunner
import org.effnetlite.testing.Parity
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.annotation.GraphicsMode
import kotlin.math.abs

/** The same pixels as Python's `Preprocessing.fit`, on photos and on what photos are not. */
@RunWith(DesktopRunner::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class PreprocessingParityTest {
    private lateinit var parity: Parity

    @Before
    fun open() {
        parity = Parity.open()
    }

    @Test
    fun `pictures without loss give Python's pixels in every byte`() {
        val fits = parity.fits.filter { it.picture.rgba == null }
        val photos = fits.filter { it.picture.jpeg != null && it.rotation == 0 }
        assertTrue("only ${photos.size} photos", photos.map { it.picture.name }.toSet().size >= 20)
        for (fit in fits) {
            val found = fit(fit, BitmapPixels(fit.picture.bitmap()))
            assertEquals("$fit: levels off", 0, difference(found, fit.pixels).first)
        }
    }

    @Test
    fun `one preprocessor gives the same after pictures of other sizes`() {
        val size = parity.model("int8").size
        val fits = parity.fits.filter { it.rotation == 0 && it.size == size && it.picture.rgba == null }
            .filter { it.resize == "bicubic" && it.cropFraction == 0.875 }
        val preprocessor = Preprocessor(size, 0.875, Resize.BICUBIC)
        for (fit in fits + fits.reversed()) {
            val found = collect(preprocessor, size, BitmapPixels(fit.picture.bitmap()), 0)
            assertEquals("$fit: levels off", 0, difference(found, fit.pixels).first)
        }
    }

    @Test
    fun `transparent pixels are laid over white as Pillow does`() {
        val fits = parity.fits.filter { it.picture.rgba != null }
        assertTrue(fits.isNotEmpty())
        for (fit in fits) {
            val exact = fit(fit, ArrayPixels.ofRgba(fit.picture.rgba!!.readBytes(), 256, 256))
            assertEquals("$fit: levels off", 0, difference(exact, fit.pixels).first)
            // Android keeps colours multiplied by their alpha, rounded: one level, and what a
            // bicubic's lobes make of it.
            val decoded = fit(fit, BitmapPixels(fit.picture.bitmap()))
            val (most, mean) = difference(decoded, fit.pixels)
            println("transparent picture decoded by the platform, $fit: $most levels, mean $mean")
            assertTrue("$fit: $most levels off", most <= 2)
        }
    }

    @Test
    fun `photos decoded by the platform stay within the decoder's rounding`() {
        val size = parity.model("int8").size
        val photos = parity.fits.filter { it.picture.jpeg != null && it.size == size }
            .filter { it.rotation == 0 && it.resize == "bicubic" && it.cropFraction == 0.875 }
        assertTrue(photos.size >= 20)
        var most = 0
        var worst = 0.0
        for (fit in photos) {
            val found = fit(fit, BitmapPixels(fit.picture.bitmap(fit.picture.jpeg!!)))
            val (highest, mean) = difference(found, fit.pixels)
            most = maxOf(most, highest)
            worst = maxOf(worst, mean)
        }
        println("JPEG decoded by the platform: at most $most levels off, mean at most $worst")
        assertTrue("$most levels off", most <= JPEG_LEVELS)
        assertTrue("$worst levels off in the mean", worst <= JPEG_MEAN)
    }

    private fun fit(fit: Parity.Fit, picture: PixelSource): ByteArray {
        val resize = Resize.valueOf(fit.resize.uppercase())
        val preprocessor = Preprocessor(fit.size, fit.cropFraction, resize)
        return collect(preprocessor, fit.size, picture, fit.rotation)
    }

    private companion object {
        // Robolectric has the decoder of Android itself, which here gives what Pillow gives. Another
        // version may round the inverse DCT or enlarge the chroma another way.
        const val JPEG_LEVELS = 2
        const val JPEG_MEAN = 0.05
    }
}

/** What a preprocessor gives, as size x size x 3 bytes of RGB. */
internal fun collect(
    preprocessor: Preprocessor,
    size: Int,
    picture: PixelSource,
    rotation: Int,
): ByteArray {
    val bytes = ByteArray(size * size * 3)
    preprocessor.fit(picture, rotation) { y, row ->
        for (x in 0 until size) {
            bytes[(y * size + x) * 3] = (row[x] shr 16).toByte()
            bytes[(y * size + x) * 3 + 1] = (row[x] shr 8).toByte()
            bytes[(y * size + x) * 3 + 2] = row[x].toByte()
        }
    }
    return bytes
}

/** The largest difference in levels, and the mean one. */
internal fun difference(found: ByteArray, expected: ByteArray): Pair<Int, Double> {
    assertEquals(expected.size, found.size)
    var most = 0
    var sum = 0L
    for (index in found.indices) {
        val off = abs((found[index].toInt() and 0xff) - (expected[index].toInt() and 0xff))
        most = maxOf(most, off)
        sum += off
    }
    return Pair(most, sum.toDouble() / found.size)
}

/** Pixels of an array, row by row. */
internal class ArrayPixels(
    override val width: Int,
    override val height: Int,
    private val pixels: IntArray,
    override val hasAlpha: Boolean = false,
) : PixelSource {
    /** How often it was read. */
    var reads = 0
        private set

    override fun read(pixels: IntArray, left: Int, top: Int, width: Int, height: Int) {
        reads++
        for (y in 0 until height) {
            this.pixels.copyInto(
                pixels, y * width, (top + y) * this.width + left, (top + y) * this.width + left + width,
            )
        }
    }

    companion object {
        fun ofRgba(bytes: ByteArray, width: Int, height: Int): ArrayPixels {
            val pixels = IntArray(width * height) { pixel ->
                val (red, green, blue, alpha) = IntArray(4) { bytes[4 * pixel + it].toInt() and 0xff }
                alpha shl 24 or (red shl 16) or (green shl 8) or blue
            }
            return ArrayPixels(width, height, pixels, hasAlpha = true)
        }
    }
}
