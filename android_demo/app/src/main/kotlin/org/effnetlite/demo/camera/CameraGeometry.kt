package org.effnetlite.demo.camera

import android.graphics.Matrix
import android.graphics.RectF
import android.util.Size

/** The largest preview that every camera can give beside pictures of the same shape. */
private val LARGEST_PREVIEW = Size(1440, 1080)

/** What to ask a camera for. */
internal data class Sizes(val preview: Size, val frames: Size)

/**
 * Frames as small as the model allows, and a preview of the same shape as large as it may be.
 *
 * 4:3 is preferred: it is the whole of most sensors. Where no frame is large enough, the largest
 * is taken.
 *
 * @param previews Sizes that the camera offers for the screen.
 * @param frames Those that it offers for pictures.
 * @param minSide Pixels of a frame's shorter side, at least.
 * @return Null where the camera offers none.
 */
internal fun chooseSizes(previews: List<Size>, frames: List<Size>, minSide: Int): Sizes? {
    val possible = frames.filter { frame -> previews.any { sameShape(it, frame) } }
    if (possible.isEmpty()) return null
    val large = possible.filter { minOf(it.width, it.height) >= minSide }
    val shaped = large.filter { sameShape(it, Size(4, 3)) }.ifEmpty { large }
    val frame = shaped.minByOrNull { area(it) } ?: possible.maxBy { area(it) }
    val fitting = previews.filter { sameShape(it, frame) }
    val preview = fitting
        .filter { it.width <= LARGEST_PREVIEW.width && it.height <= LARGEST_PREVIEW.height }
        .maxByOrNull { area(it) } ?: fitting.minBy { area(it) }
    return Sizes(preview, frame)
}

/**
 * How far a sensor's picture must be turned clockwise to stand upright on the display.
 *
 * @param sensor Degrees of `SENSOR_ORIENTATION`.
 * @param display Degrees that the display's content is turned by, `90 * Surface.ROTATION_…`.
 * @param front Whether the camera looks the same way as the display: its picture turns the other
 *   way round.
 */
internal fun uprightRotation(sensor: Int, display: Int, front: Boolean): Int =
    Math.floorMod(if (front) sensor + display else sensor - display, 360)

/**
 * Puts a preview upright. A texture knows how the sensor lies in the device, not how the device
 * is held: on a turned display it fills the view lying down.
 *
 * @param width Of the view, which has the upright picture's shape.
 * @param display As for [uprightRotation].
 */
internal fun previewTransform(width: Float, height: Float, display: Int): Matrix {
    val matrix = Matrix()
    if (display == 90 || display == 270) {
        val view = RectF(0f, 0f, width, height)
        val lying = RectF(0f, 0f, height, width)
        lying.offset((width - height) / 2, (height - width) / 2)
        matrix.setRectToRect(view, lying, Matrix.ScaleToFit.FILL)
    }
    if (display != 0) matrix.postRotate(-display.toFloat(), width / 2, height / 2)
    return matrix
}

private fun area(size: Size): Long = size.width.toLong() * size.height

/** Within a hundredth: 176 x 144 is not 4:3, 1440 x 1080 is. */
private fun sameShape(one: Size, other: Size): Boolean {
    val ratio = one.width.toDouble() * other.height / (one.height.toDouble() * other.width)
    return ratio in 0.99..1.01
}
