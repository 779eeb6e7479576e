package org.effnetlite

/**
 * From a picture to the pixels that a model takes: `fit` of lite/preprocessing.py, byte for byte.
 *
 * The picture is turned upright, a central square of `int(cropFraction * shorter side)` pixels is
 * cut out and resized as Pillow does: first along the rows, rounded to 8 bits, then along the
 * columns. Only the crop is read, in one call for up to a megapixel and in strips of that size
 * beyond. Buffers and filter tables are kept; a filter table is made once for each crop size.
 *
 * @param size Side of the result in pixels.
 */
internal class Preprocessor(
    private val size: Int,
    private val cropFraction: Double,
    private val resize: Resize,
) {
    private val row = IntArray(size)
    private val sums = IntArray(3 * size)
    private var source = IntArray(0)

    // Behind the first pass: as many rows as the crop has, [size] pixels each.
    private var narrow = IntArray(0)

    private val filters = object : LinkedHashMap<Int, Resampling>(KEPT, 1f, true) {
        override fun removeEldestEntry(eldest: Map.Entry<Int, Resampling>) = size > KEPT
    }

    /** The square of the upright picture that [fit] reads. */
    fun crop(picture: PixelSource, rotationDegrees: Int): Crop {
        val turned = rotation(rotationDegrees) % 180 != 0
        val width = if (turned) picture.height else picture.width
        val height = if (turned) picture.width else picture.height
        val side = (cropFraction * minOf(width, height)).toInt().coerceAtLeast(1)
        return Crop((width - side + 1) / 2, (height - side + 1) / 2, side)
    }

    /**
     * Resizes the crop, from the top row on.
     *
     * @param rotationDegrees How far the picture must be turned clockwise to stand upright.
     * @param put Gets each row: its number, and [size] pixels of 0xRRGGBB from the start of an
     *   array that is used again for the next.
     * @return What of the upright picture was read.
     * @throws IllegalArgumentException The angle is no multiple of 90.
     */
    fun fit(picture: PixelSource, rotationDegrees: Int, put: (Int, IntArray) -> Unit): Crop {
        val crop = crop(picture, rotationDegrees)
        val filter = filters.getOrPut(crop.side) { Resampling.of(resize, crop.side, size) }
        narrow = narrow.atLeast(crop.side * size)
        val strip = (STRIP_PIXELS / crop.side).coerceIn(1, crop.side)
        source = source.atLeast(strip * crop.side)
        for (first in 0 until crop.side step strip) {
            val rows = minOf(strip, crop.side - first)
            val view = read(picture, rotation(rotationDegrees), crop, first, rows)
            for (y in 0 until rows) narrowRow(view, y, crop.side, filter, (first + y) * size)
        }
        for (y in 0 until size) {
            resultRow(y, crop.side, filter)
            put(y, row)
        }
        return crop
    }

    /** How upright pixels lie in [source]: pixel (y, x) at `start + y * down + x * right`. */
    private class View(val start: Int, val down: Int, val right: Int)

    /** Reads upright rows [first] to `first + rows` of the crop. */
    private fun read(picture: PixelSource, angle: Int, crop: Crop, first: Int, rows: Int): View {
        val top = crop.top + first
        val side = crop.side
        val view = when (angle) {
            0 -> {
                picture.read(source, crop.left, top, side, rows)
                View(0, side, 1)
            }
            90 -> { // upright (y, x) is (height - 1 - x, y)
                picture.read(source, top, picture.height - crop.left - side, rows, side)
                View((side - 1) * rows, 1, -rows)
            }
            180 -> { // upright (y, x) is (height - 1 - y, width - 1 - x)
                val left = picture.width - crop.left - side
                picture.read(source, left, picture.height - top - rows, side, rows)
                View(rows * side - 1, -side, -1)
            }
            else -> { // upright (y, x) is (x, width - 1 - y)
                picture.read(source, picture.width - top - rows, crop.left, rows, side)
                View(rows - 1, -1, rows)
            }
        }
        if (picture.hasAlpha) overWhite(source, rows * side)
        return view
    }

    /** One row of the first pass, written into [narrow] from [target]. */
    private fun narrowRow(view: View, y: Int, side: Int, filter: Resampling, target: Int) {
        // Locals: Android's compiler reads fields again in each turn of a loop.
        val source = source
        val narrow = narrow
        val right = view.right
        val start = view.start + y * view.down
        if (side == size) {
            for (x in 0 until size) narrow[target + x] = source[start + x * right] and 0xffffff
            return
        }
        val weights = filter.weights
        for (x in 0 until size) {
            var red = Resampling.HALF
            var green = Resampling.HALF
            var blue = Resampling.HALF
            var at = start + filter.first[x] * right
            val begin = x * filter.stride
            for (k in begin until begin + filter.count[x]) {
                val pixel = source[at]
                val weight = weights[k]
                red += (pixel shr 16 and 0xff) * weight
                green += (pixel shr 8 and 0xff) * weight
                blue += (pixel and 0xff) * weight
                at += right
            }
            narrow[target + x] = clipped(red) shl 16 or (clipped(green) shl 8) or clipped(blue)
        }
    }

    /** One row of the second pass, written into [row]. */
    private fun resultRow(y: Int, side: Int, filter: Resampling) {
        if (side == size) {
            narrow.copyInto(row, 0, y * size, (y + 1) * size)
            return
        }
        val narrow = narrow
        val sums = sums
        sums.fill(Resampling.HALF)
        for (k in 0 until filter.count[y]) {
            val weight = filter.weights[y * filter.stride + k]
            val start = (filter.first[y] + k) * size
            for (x in 0 until size) {
                val pixel = narrow[start + x]
                sums[3 * x] += (pixel shr 16 and 0xff) * weight
                sums[3 * x + 1] += (pixel shr 8 and 0xff) * weight
                sums[3 * x + 2] += (pixel and 0xff) * weight
            }
        }
        for (x in 0 until size) {
            row[x] = clipped(sums[3 * x]) shl 16 or (clipped(sums[3 * x + 1]) shl 8) or
                clipped(sums[3 * x + 2])
        }
    }

    private fun clipped(sum: Int): Int {
        val value = sum shr Resampling.BITS
        return if (value < 0) 0 else if (value > 255) 255 else value
    }

    private fun IntArray.atLeast(count: Int): IntArray = if (size >= count) this else IntArray(count)

    private companion object {
        // A phone's camera switches between a preview and a photo or two.
        const val KEPT = 4

        // 4 MB: a camera's frames are read in one call, and a photo of 12 megapixels does not
        // take 36 MB of the heap.
        const val STRIP_PIXELS = 1024 * 1024

        /** An angle as 0, 90, 180 or 270. */
        fun rotation(degrees: Int): Int {
            require(degrees % 90 == 0) { "expected a rotation by 0, 90, 180 or 270, found $degrees" }
            return ((degrees % 360) + 360) % 360
        }
    }
}
