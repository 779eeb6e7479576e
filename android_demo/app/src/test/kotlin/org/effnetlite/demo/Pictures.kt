package org.effnetlite.demo

import android.content.Context
import android.graphics.Bitmap
import android.graphics.Color
import android.net.Uri
import java.io.ByteArrayInputStream
import java.io.ByteArrayOutputStream
import java.io.FileNotFoundException
import org.robolectric.Shadows.shadowOf

val RED: Int = Color.rgb(220, 30, 30)
val GREEN: Int = Color.rgb(20, 200, 40)
val BLUE: Int = Color.rgb(30, 40, 220)

/** A picture of one colour. */
fun plain(colour: Int, width: Int = 64, height: Int = 48): Bitmap =
    Bitmap.createBitmap(width, height, Bitmap.Config.ARGB_8888).apply { eraseColor(colour) }

/** What a file of the picture holds. */
fun Bitmap.encoded(format: Bitmap.CompressFormat = Bitmap.CompressFormat.PNG): ByteArray =
    ByteArrayOutputStream().also { compress(format, 95, it) }.toByteArray()

/** Makes a file that other apps offer, and gives its name. */
fun Context.offer(name: String, content: ByteArray): Uri {
    val uri = Uri.parse("content://photos/$name")
    shadowOf(contentResolver).registerInputStreamSupplier(uri) { ByteArrayInputStream(content) }
    return uri
}

/** The name of a file that is gone. */
fun Context.offerGone(name: String): Uri {
    val uri = Uri.parse("content://photos/$name")
    shadowOf(contentResolver).registerInputStreamSupplier(uri) { throw FileNotFoundException(name) }
    return uri
}

/** The JPEG file with an EXIF block that holds nothing but the orientation (tag 0x0112). */
fun withOrientation(jpeg: ByteArray, orientation: Int): ByteArray {
    val tiff = byteArrayOf(
        'M'.code.toByte(), 'M'.code.toByte(), 0, 42, 0, 0, 0, 8, // big-endian, directory at 8
        0, 1, // one entry:
        0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation.toByte(), 0, 0, // tag, short, 1, value
        0, 0, 0, 0, // no further directory
    )
    val body = "Exif".toByteArray() + byteArrayOf(0, 0) + tiff
    val size = body.size + 2
    val header = byteArrayOf(0xff.toByte(), 0xe1.toByte(), (size shr 8).toByte(), size.toByte())
    return jpeg.copyOfRange(0, 2) + header + body + jpeg.copyOfRange(2, jpeg.size)
}
