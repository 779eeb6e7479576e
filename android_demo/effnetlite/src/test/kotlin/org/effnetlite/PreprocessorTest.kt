package org.effnetlite

import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Test

/** Crop, rotation, strips and kept tables, on pictures whose pixels are their own coordinates. */
class PreprocessorTest {
    /** Pixel (y, x) of a picture of this size is `y << 12 | x`. */
    private fun coordinates(width: Int, height: Int) =
        ArrayPixels(width, height, IntArray(width * height) { (it / width) shl 12 or it % width })

    private fun rows(preprocessor: Preprocessor, picture: PixelSource, rotation: Int): List<IntArray> {
        val rows = mutableListOf<IntArray>()
        preprocessor.fit(picture, rotation) { y, row ->
            assertEquals(rows.size, y)
            rows += row.copyOf()
        }
        return rows
    }

    @Test
    fun `the crop is Python's`() {
        val preprocessor = Preprocessor(224, 0.875, Resize.BICUBIC)
        // By crop = max(1, int(0.875 * shorter)), left = (width - crop + 1) // 2.
        val expected = mapOf(
            Pair(640, 480) to Crop(110, 30, 420),
            Pair(481, 640) to Crop(31, 110, 420),
            Pair(1, 1) to Crop(0, 0, 1),
            Pair(7, 1) to Crop(3, 0, 1),
            Pair(500, 375) to Crop(86, 24, 328),
        )
        for ((size, crop) in expected) {
            assertEquals(crop, preprocessor.crop(coordinates(size.first, size.second), 0))
            assertEquals(crop, preprocessor.crop(coordinates(size.second, size.first), 90))
        }
    }

    @Test
    fun `a rotation turns the picture clockwise`() {
        val width = 6
        val height = 4
        val picture = coordinates(width, height)
        val preprocessor = Preprocessor(4, 1.0, Resize.BICUBIC)
        val turned: Map<Int, (Int, Int) -> Int> = mapOf(
            0 to { y, x -> y shl 12 or (x + 1) },
            90 to { y, x -> (height - 1 - x) shl 12 or (y + 1) },
            180 to { y, x -> (height - 1 - y) shl 12 or (width - 1 - (x + 1)) },
            270 to { y, x -> x shl 12 or (width - 1 - (y + 1)) },
        )
        for ((angle, pixel) in turned) {
            val expected = List(4) { y -> IntArray(4) { x -> pixel(y, x) } }
            val found = rows(preprocessor, picture, angle)
            for (y in 0 until 4) assertArrayEquals("$angle, row $y", expected[y], found[y])
            assertArrayEquals(found[1], rows(preprocessor, picture, angle - 360)[1])
            assertArrayEquals(found[1], rows(preprocessor, picture, angle + 720)[1])
        }
    }

    @Test
    fun `another angle is refused`() {
        val preprocessor = Preprocessor(4, 1.0, Resize.BICUBIC)
        for (angle in listOf(1, 45, -30, 91)) {
            val error = assertThrows(IllegalArgumentException::class.java) {
                preprocessor.fit(coordinates(5, 5), angle) { _, _ -> }
            }
            assertEquals("expected a rotation by 0, 90, 180 or 270, found $angle", error.message)
        }
    }

    @Test
    fun `a camera's frame is read in one call and a large photo in strips`() {
        val preprocessor = Preprocessor(32, 1.0, Resize.BILINEAR)
        val frame = coordinates(1280, 960)
        preprocessor.fit(frame, 90) { _, _ -> }
        assertEquals(1, frame.reads)
        val photo = coordinates(2100, 2100)
        preprocessor.fit(photo, 0) { _, _ -> }
        assertEquals(5, photo.reads) // of 499 rows each
    }

    @Test
    fun `strips join without a seam at any rotation`() {
        // Nearest from 1500 to 1500: the picture itself, in 3 strips.
        val side = 1500
        val picture = coordinates(side, side)
        val preprocessor = Preprocessor(side, 1.0, Resize.NEAREST)
        for (angle in listOf(0, 90, 180, 270)) {
            val found = rows(preprocessor, picture, angle)
            for (y in 0 until side) for (x in 0 until side) {
                val expected = when (angle) {
                    0 -> y shl 12 or x
                    90 -> (side - 1 - x) shl 12 or y
                    180 -> (side - 1 - y) shl 12 or (side - 1 - x)
                    else -> x shl 12 or (side - 1 - y)
                }
                if (found[y][x] != expected) assertEquals("$angle: $y, $x", expected, found[y][x])
            }
        }
    }

    @Test
    fun `a plain picture stays plain`() {
        // Fixed-point weights do not sum to exactly 1; Pillow's rounding hides it.
        for (resize in Resize.entries) for (side in listOf(1, 2, 100, 225, 777)) {
            val colour = 0xfe8001
            val picture = ArrayPixels(side, side, IntArray(side * side) { colour })
            val found = rows(Preprocessor(224, 1.0, resize), picture, 0)
            assertEquals("$resize from $side", setOf(colour), found.flatMap { it.toList() }.toSet())
        }
    }
}
