package org.effnetlite.demo.camera

import android.annotation.SuppressLint
import android.content.Context
import android.graphics.Bitmap
import android.graphics.ImageFormat
import android.graphics.SurfaceTexture
import android.hardware.camera2.CameraAccessException
import android.hardware.camera2.CameraCaptureSession
import android.hardware.camera2.CameraCharacteristics
import android.hardware.camera2.CameraDevice
import android.hardware.camera2.CameraManager
import android.hardware.camera2.CaptureRequest
import android.hardware.display.DisplayManager
import android.media.Image
import android.media.ImageReader
import android.os.Handler
import android.os.HandlerThread
import android.os.Looper
import android.util.Size
import android.view.Surface
import android.view.TextureView
import android.view.View

/** The cameras that the framework's Camera2 knows. */
class Camera2Cameras(private val context: Context) : Cameras {
    private val manager
        get() = checkNotNull(context.getSystemService(CameraManager::class.java))

    override fun any(): Boolean = try {
        manager.cameraIdList.isNotEmpty()
    } catch (_: CameraAccessException) {
        false // as policies of a company do
    }

    override fun create(): Camera = Camera2(context, manager)
}

/**
 * One camera: a preview in a view, and frames in `YUV_420_888` that become RGB when one is wanted.
 *
 * The framework calls back on a thread of ours; a lock keeps the camera from being closed while a
 * frame is being read, and what comes after closing from being noticed.
 */
internal class Camera2(context: Context, private val manager: CameraManager) : Camera {
    private val displays =
        checkNotNull(context.getSystemService(DisplayManager::class.java))
    private val main = Handler(Looper.getMainLooper())
    private val lock = Any()

    // Guarded by the lock.
    private var thread: HandlerThread? = null
    private var device: CameraDevice? = null
    private var session: CameraCaptureSession? = null
    private var reader: ImageReader? = null
    private var bitmap: Bitmap? = null
    private var converter: YuvConverter? = null

    @Volatile
    private var closed = false

    /** Degrees, as for [uprightRotation]; the device can be turned without a new screen. */
    @Volatile
    private var display = 0

    private lateinit var view: TextureView
    private lateinit var chosen: Chosen
    private lateinit var sink: FrameSink
    private lateinit var listener: (CameraState) -> Unit

    override fun open(
        view: TextureView,
        minSide: Int,
        sink: FrameSink,
        listener: (CameraState) -> Unit,
    ) {
        check(thread == null) { "a camera is opened once" }
        this.view = view
        this.sink = sink
        this.listener = listener
        thread = HandlerThread("demo-camera").apply { start() }
        val found = try {
            choose(minSide)
        } catch (failure: CameraAccessException) {
            return tell(CameraState.Failed(why(failure.reason), failure.message.orEmpty()))
        }
        chosen = found ?: return tell(CameraState.Absent)
        displays.registerDisplayListener(turns, main)
        display = displayDegrees()
        if (view.isAvailable) connect() else view.surfaceTextureListener = surface
    }

    override fun close() {
        synchronized(lock) {
            if (closed) return
            closed = true
            session?.close()
            device?.close()
            reader?.close()
            thread?.quitSafely()
        }
        displays.unregisterDisplayListener(turns)
        view.surfaceTextureListener = null
        view.removeOnLayoutChangeListener(layout)
    }

    private class Chosen(
        val id: String,
        val sizes: Sizes,
        val sensor: Int,
        val front: Boolean,
        val autofocus: Boolean,
    )

    /** The first camera at the back, else the first; null where none offers pictures. */
    private fun choose(minSide: Int): Chosen? {
        val found = manager.cameraIdList.map { Pair(it, manager.getCameraCharacteristics(it)) }
        val facing = CameraCharacteristics.LENS_FACING
        val order = found.sortedBy { it.second[facing] != CameraCharacteristics.LENS_FACING_BACK }
        return order.firstNotNullOfOrNull { (id, about) ->
            val streams = about[CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP]
            val sizes = streams?.let {
                chooseSizes(
                    it.getOutputSizes(SurfaceTexture::class.java).orEmpty().toList(),
                    it.getOutputSizes(ImageFormat.YUV_420_888).orEmpty().toList(),
                    maxOf(minSide, MIN_SIDE),
                )
            }
            sizes?.let {
                val modes = about[CameraCharacteristics.CONTROL_AF_AVAILABLE_MODES]
                Chosen(
                    id, it,
                    about[CameraCharacteristics.SENSOR_ORIENTATION] ?: 0,
                    about[facing] == CameraCharacteristics.LENS_FACING_FRONT,
                    modes != null && AUTOFOCUS in modes,
                )
            }
        }
    }

    @SuppressLint("MissingPermission") // the screen asks before it opens a camera
    private fun connect() {
        try {
            manager.openCamera(chosen.id, connection, Handler(thread!!.looper))
        } catch (failure: CameraAccessException) {
            tell(CameraState.Failed(why(failure.reason), failure.message.orEmpty()))
        } catch (failure: SecurityException) {
            // The permission was taken back meanwhile.
            tell(CameraState.Denied(forGood = false))
        } catch (failure: IllegalArgumentException) {
            tell(CameraState.Failed(Why.ERROR, failure.message.orEmpty())) // it was unplugged
        }
    }

    private val connection = object : CameraDevice.StateCallback() {
        override fun onOpened(camera: CameraDevice) = unlessClosed({ camera.close() }) {
            device = camera
            try {
                startSession(camera)
            } catch (failure: CameraAccessException) {
                tell(CameraState.Failed(why(failure.reason), failure.message.orEmpty()))
            } catch (failure: IllegalStateException) {
                // The system closed it meanwhile.
                tell(CameraState.Failed(Why.ERROR, failure.message.orEmpty()))
            }
        }

        override fun onDisconnected(camera: CameraDevice) = unlessClosed({ camera.close() }) {
            tell(CameraState.Failed(Why.TAKEN, ""))
        }

        override fun onError(camera: CameraDevice, error: Int) = unlessClosed({ camera.close() }) {
            val used = error == ERROR_CAMERA_IN_USE || error == ERROR_MAX_CAMERAS_IN_USE
            tell(CameraState.Failed(if (used) Why.IN_USE else Why.ERROR, "error $error"))
        }
    }

    private fun startSession(camera: CameraDevice) {
        val texture = view.surfaceTexture ?: return // the screen is going away
        val (preview, frames) = chosen.sizes
        texture.setDefaultBufferSize(preview.width, preview.height)
        val handler = Handler(thread!!.looper)
        val images = ImageReader.newInstance(
            frames.width, frames.height, ImageFormat.YUV_420_888, IMAGES,
        )
        images.setOnImageAvailableListener(::imageAvailable, handler)
        reader = images
        bitmap = Bitmap.createBitmap(frames.width, frames.height, Bitmap.Config.ARGB_8888)
        converter = YuvConverter(frames.width, frames.height)
        val targets = listOf(Surface(texture), images.surface)
        val request = camera.createCaptureRequest(CameraDevice.TEMPLATE_PREVIEW).apply {
            targets.forEach(::addTarget)
            if (chosen.autofocus) set(CaptureRequest.CONTROL_AF_MODE, AUTOFOCUS)
        }.build()
        val states = object : CameraCaptureSession.StateCallback() {
            override fun onConfigured(session: CameraCaptureSession) = unlessClosed({}) {
                this@Camera2.session = session
                try {
                    session.setRepeatingRequest(request, null, handler)
                    main.post { if (!closed) started() }
                } catch (failure: CameraAccessException) {
                    tell(CameraState.Failed(why(failure.reason), failure.message.orEmpty()))
                } catch (failure: IllegalStateException) {
                    tell(CameraState.Failed(Why.ERROR, failure.message.orEmpty()))
                }
            }

            override fun onConfigureFailed(session: CameraCaptureSession) = unlessClosed({}) {
                tell(CameraState.Failed(Why.ERROR, "${preview.width} x ${preview.height}"))
            }
        }
        @Suppress("DEPRECATION") // its successor needs Android 9
        camera.createCaptureSession(targets, states, handler)
    }

    /** On the camera's thread. */
    private fun imageAvailable(reader: ImageReader) = synchronized(lock) {
        if (closed) return
        // The latest: what came while the model was busy is dropped.
        val image = reader.acquireLatestImage() ?: return
        image.use { if (sink.wantsFrame()) sink.onFrame(frame(it)) }
    }

    private fun frame(image: Image): Frame {
        val start = System.nanoTime()
        val (y, u, v) = image.planes.map { Plane(it.buffer, it.rowStride, it.pixelStride) }
        val pixels = converter!!.convert(y, u, v)
        val bitmap = bitmap!!
        bitmap.setPixels(pixels, 0, bitmap.width, 0, 0, bitmap.width, bitmap.height)
        val rotation = uprightRotation(chosen.sensor, display, chosen.front)
        return Frame(bitmap, rotation, System.nanoTime() - start)
    }

    private fun started() {
        view.addOnLayoutChangeListener(layout)
        tellShape()
    }

    private fun tellShape() {
        val lies = uprightRotation(chosen.sensor, display, chosen.front) % 180 != 0
        val size = chosen.sizes.preview
        val upright = if (lies) Size(size.height, size.width) else size
        listener(CameraState.Open(upright.width, upright.height, chosen.front))
        transform()
    }

    private fun transform() =
        view.setTransform(previewTransform(view.width.toFloat(), view.height.toFloat(), display))

    private val layout =
        View.OnLayoutChangeListener { _, _, _, _, _, _, _, _, _ -> transform() }

    private val turns = object : DisplayManager.DisplayListener {
        override fun onDisplayChanged(displayId: Int) {
            val degrees = displayDegrees()
            if (closed || degrees == display) return
            display = degrees
            if (synchronized(lock) { session != null }) tellShape()
        }

        override fun onDisplayAdded(displayId: Int) = Unit

        override fun onDisplayRemoved(displayId: Int) = Unit
    }

    private val surface = object : TextureView.SurfaceTextureListener {
        override fun onSurfaceTextureAvailable(texture: SurfaceTexture, width: Int, height: Int) {
            if (!closed) connect()
        }

        override fun onSurfaceTextureSizeChanged(texture: SurfaceTexture, width: Int, height: Int) =
            Unit

        override fun onSurfaceTextureDestroyed(texture: SurfaceTexture): Boolean = true

        override fun onSurfaceTextureUpdated(texture: SurfaceTexture) = Unit
    }

    private fun displayDegrees(): Int = 90 * (view.display?.rotation ?: Surface.ROTATION_0)

    private fun tell(state: CameraState) {
        main.post { if (!closed) listener(state) }
    }

    private inline fun unlessClosed(otherwise: () -> Unit, work: () -> Unit) = synchronized(lock) {
        if (closed) otherwise() else work()
    }

    private companion object {
        const val AUTOFOCUS = CaptureRequest.CONTROL_AF_MODE_CONTINUOUS_PICTURE

        /** Frames of a smaller side than this look bad to every model. */
        const val MIN_SIDE = 480

        /** One in work, one that waits. */
        const val IMAGES = 2

        fun why(reason: Int): Why = when (reason) {
            CameraAccessException.CAMERA_IN_USE -> Why.IN_USE
            CameraAccessException.MAX_CAMERAS_IN_USE -> Why.IN_USE
            CameraAccessException.CAMERA_DISCONNECTED -> Why.TAKEN
            else -> Why.ERROR
        }
    }
}
