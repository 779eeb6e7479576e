package org.effnetlite.demo.classify

import android.content.ContentResolver
import android.database.sqlite.SQLiteException
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.Matrix
import android.media.ExifInterface
import android.net.Uri
import android.provider.OpenableColumns
import java.io.IOException
import java.io.InputStream

/**
 * Reads photos from other apps, upright as their EXIF says.
 *
 * All pixels of the file are read, as in Python, unless they need more than [budget] bytes: then
 * every 2nd, 4th… each way, which changes what the model sees a little.
 */
class PhotoReader(
    private val resolver: ContentResolver,
    private val budget: Long = Runtime.getRuntime().maxMemory() / 2,
) {
    /**
     * @throws IOException It is gone, may not be read, or is no picture.
     * @throws OutOfMemoryError It does not fit even at reduced size.
     */
    fun read(uri: Uri): Photo {
        val bounds = BitmapFactory.Options().apply { inJustDecodeBounds = true }
        open(uri) { BitmapFactory.decodeStream(it, null, bounds) }
        if (bounds.outWidth <= 0 || bounds.outHeight <= 0) throw IOException("no picture: $uri")
        val orientation = orientation(uri)
        // Turning needs both at once.
        val copies = if (orientation == null) 1 else 2
        val options = BitmapFactory.Options().apply {
            inSampleSize = sampling(bounds.outWidth, bounds.outHeight, budget / copies)
        }
        val read = open(uri) { BitmapFactory.decodeStream(it, null, options) }
            ?: throw IOException("no picture: $uri")
        val upright = if (orientation == null) read else turned(read, orientation)
        return Photo(name(uri), upright, preview(upright), options.inSampleSize)
    }

    /** What must be done to the pixels; null for nothing. */
    private fun orientation(uri: Uri): Matrix? = try {
        open(uri) { stream ->
            uprighting(
                ExifInterface(stream).getAttributeInt(
                    ExifInterface.TAG_ORIENTATION, ExifInterface.ORIENTATION_NORMAL,
                ),
            )
        }
    } catch (_: IOException) {
        null // a format without EXIF
    }

    private fun name(uri: Uri): String? = try {
        resolver.query(uri, arrayOf(OpenableColumns.DISPLAY_NAME), null, null, null)?.use {
            if (it.moveToFirst()) it.getString(0) else null
        }
    } catch (_: SecurityException) {
        null
    } catch (_: IllegalArgumentException) {
        null // what other apps throw for columns that they do not know
    } catch (_: SQLiteException) {
        null
    }

    private fun <T> open(uri: Uri, read: (InputStream) -> T): T = try {
        (resolver.openInputStream(uri) ?: throw IOException("cannot open $uri")).use(read)
    } catch (failure: SecurityException) {
        throw IOException("may not read $uri", failure)
    }
}

/** The smallest power of 2 that brings a picture of 4 bytes a pixel within a budget of bytes. */
internal fun sampling(width: Int, height: Int, budget: Long): Int {
    var step = 1
    while (4L * (width / step) * (height / step) > budget) step *= 2
    return step
}

/** How pixels of an EXIF orientation become upright; null where they are. */
internal fun uprighting(orientation: Int): Matrix? {
    val (degrees, mirrored) = when (orientation) {
        ExifInterface.ORIENTATION_FLIP_HORIZONTAL -> Pair(0f, true)
        ExifInterface.ORIENTATION_ROTATE_180 -> Pair(180f, false)
        ExifInterface.ORIENTATION_FLIP_VERTICAL -> Pair(180f, true)
        ExifInterface.ORIENTATION_TRANSPOSE -> Pair(90f, true)
        ExifInterface.ORIENTATION_ROTATE_90 -> Pair(90f, false)
        ExifInterface.ORIENTATION_TRANSVERSE -> Pair(270f, true)
        ExifInterface.ORIENTATION_ROTATE_270 -> Pair(270f, false)
        else -> return null
    }
    return Matrix().apply {
        postRotate(degrees)
        if (mirrored) postScale(-1f, 1f)
    }
}

private fun turned(bitmap: Bitmap, matrix: Matrix): Bitmap {
    // Without a filter: quarter turns and mirroring move pixels and mix none.
    val turned = Bitmap.createBitmap(bitmap, 0, 0, bitmap.width, bitmap.height, matrix, false)
    if (turned !== bitmap) bitmap.recycle()
    return turned
}

/** Canvases refuse pictures of more than 100 MB, GPUs sides of more than 4096 pixels. */
private const val PREVIEW_SIDE = 1600

private fun preview(bitmap: Bitmap): Bitmap {
    val longer = maxOf(bitmap.width, bitmap.height)
    if (longer <= PREVIEW_SIDE) return bitmap
    val width = (bitmap.width.toLong() * PREVIEW_SIDE / longer).toInt().coerceAtLeast(1)
    val height = (bitmap.height.toLong() * PREVIEW_SIDE / longer).toInt().coerceAtLeast(1)
    return Bitmap.createScaledBitmap(bitmap, width, height, true)
}
