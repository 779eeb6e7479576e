package org.effnetlite.demo.views

import android.content.Context
import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Color
import android.graphics.Paint
import android.graphics.RectF
import android.util.AttributeSet
import android.view.View
import org.effnetlite.ActivationMap
import org.effnetlite.Crop

/** Draws over a picture which square the model saw, and where in it the model looked. */
class OverlayView(context: Context, attributes: AttributeSet?) : View(context, attributes) {
    private val density = resources.displayMetrics.density
    private val paint = Paint(Paint.FILTER_BITMAP_FLAG)
    private val dark = line(3.5f, Color.argb(150, 0, 0, 0))
    private val light = line(1.5f, Color.WHITE)
    private val square = RectF()

    private var pictureWidth = 1
    private var pictureHeight = 1
    private var crop: Crop? = null
    private var map: ActivationMap? = null
    private var colours: Bitmap? = null
    private var mirrored = false

    /**
     * What to draw; without a crop, nothing.
     *
     * @param width Of the upright picture in its own pixels, which fills this view.
     * @param mirrored Whether the picture below is shown as in a mirror.
     */
    fun show(width: Int, height: Int, crop: Crop?, map: ActivationMap?, mirrored: Boolean) {
        pictureWidth = width
        pictureHeight = height
        this.crop = crop
        this.mirrored = mirrored
        if (map !== this.map) {
            this.map = map
            colours = map?.let { HeatColours.picture(it.rows, it.columns, it.values) }
        }
        invalidate()
    }

    override fun onDraw(canvas: Canvas) {
        super.onDraw(canvas)
        val crop = crop ?: return
        val across = width.toFloat() / pictureWidth
        val down = height.toFloat() / pictureHeight
        square.set(
            crop.left * across, crop.top * down,
            (crop.left + crop.side) * across, (crop.top + crop.side) * down,
        )
        canvas.save()
        if (mirrored) canvas.scale(-1f, 1f, width / 2f, 0f)
        colours?.let { canvas.drawBitmap(it, null, square, paint) }
        // Within the square even where it fills the view.
        square.inset(dark.strokeWidth / 2, dark.strokeWidth / 2)
        canvas.drawRect(square, dark)
        canvas.drawRect(square, light)
        canvas.restore()
    }

    private fun line(width: Float, colour: Int) = Paint(Paint.ANTI_ALIAS_FLAG).apply {
        style = Paint.Style.STROKE
        strokeWidth = width * density
        color = colour
    }
}
