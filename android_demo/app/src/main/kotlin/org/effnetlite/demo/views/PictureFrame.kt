package org.effnetlite.demo.views

import android.content.Context
import android.util.AttributeSet
import android.widget.FrameLayout

/**
 * Gives its children the largest room of a picture's shape: preview, photo and what is drawn over
 * them then share one rectangle.
 */
class PictureFrame(context: Context, attributes: AttributeSet?) : FrameLayout(context, attributes) {
    private var pictureWidth = 3
    private var pictureHeight = 4

    /** The shape, as an upright picture's sides. */
    fun setShape(width: Int, height: Int) {
        if (width * pictureHeight == height * pictureWidth) return
        pictureWidth = width
        pictureHeight = height
        requestLayout()
    }

    override fun onMeasure(widthMeasureSpec: Int, heightMeasureSpec: Int) {
        val width = MeasureSpec.getSize(widthMeasureSpec)
        val height = MeasureSpec.getSize(heightMeasureSpec)
        val bounded = MeasureSpec.getMode(heightMeasureSpec) != MeasureSpec.UNSPECIFIED
        var right = width
        var bottom = (width.toLong() * pictureHeight / pictureWidth).toInt()
        if (bounded && bottom > height) {
            right = (height.toLong() * pictureWidth / pictureHeight).toInt()
            bottom = height
        }
        super.onMeasure(
            MeasureSpec.makeMeasureSpec(right, MeasureSpec.EXACTLY),
            MeasureSpec.makeMeasureSpec(bottom, MeasureSpec.EXACTLY),
        )
    }
}
