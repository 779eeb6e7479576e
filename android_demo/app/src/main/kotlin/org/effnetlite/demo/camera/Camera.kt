package org.effnetlite.demo.camera

import android.graphics.Bitmap
import android.view.TextureView

/** The cameras of a device. */
interface Cameras {
    /** Whether there is one. */
    fun any(): Boolean

    /** One that is not open yet: the first at the back, else any. */
    fun create(): Camera
}

/** A camera that shows a preview and gives pictures; used from the main thread. */
interface Camera {
    /**
     * Opens it; needs the permission. How that went is told to the listener, on the main thread.
     *
     * @param view Where the preview appears.
     * @param minSide Pixels that the shorter side of a picture should have at least.
     * @param sink Gets the pictures, on another thread.
     */
    fun open(view: TextureView, minSide: Int, sink: FrameSink, listener: (CameraState) -> Unit)

    /** Closes it; afterwards neither sink nor listener is called. Closing twice does no harm. */
    fun close()
}

/** What became of a camera. */
sealed interface CameraState {
    /** It is not in use, or about to be opened. */
    data object Closed : CameraState

    /** The device has none. */
    data object Absent : CameraState

    /**
     * The user does not let the app use it.
     *
     * @property forGood Android will not ask again: only the system's settings help.
     */
    data class Denied(val forGood: Boolean) : CameraState

    /** It does not open, or another app took it. */
    data class Failed(val why: Why, val detail: String) : CameraState

    /**
     * It gives pictures.
     *
     * @property width Of the upright picture, as the preview shows it.
     * @property mirrored Whether the preview is, as in a mirror: pictures never are.
     */
    data class Open(val width: Int, val height: Int, val mirrored: Boolean) : CameraState
}

/** Why a camera does not work. */
enum class Why { IN_USE, TAKEN, ERROR }

/** Takes pictures, on the camera's thread. */
interface FrameSink {
    /** Whether a picture would be used now; others are dropped before any work on them. */
    fun wantsFrame(): Boolean

    /** Takes a picture. Its pixels stay as they are until [wantsFrame] says so again. */
    fun onFrame(frame: Frame)
}

/**
 * A picture of the camera.
 *
 * @property pixels As the sensor lies.
 * @property rotationDegrees How far they must be turned clockwise to stand upright.
 * @property nanos That it took to make RGB of the camera's colours.
 */
class Frame(val pixels: Bitmap, val rotationDegrees: Int, val nanos: Long) {
    private val lies = rotationDegrees % 180 != 0

    /** Width when upright. */
    val width: Int = if (lies) pixels.height else pixels.width

    /** Height when upright. */
    val height: Int = if (lies) pixels.width else pixels.height
}
