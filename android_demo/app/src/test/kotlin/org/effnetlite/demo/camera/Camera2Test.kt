package org.effnetlite.demo.camera

import android.Manifest.permission.CAMERA
import android.content.Context
import android.graphics.ImageFormat
import android.graphics.SurfaceTexture
import android.hardware.camera2.CameraCharacteristics
import android.hardware.camera2.CameraManager
import android.util.Size
import android.view.TextureView
import org.effnetlite.demo.TestApp
import org.effnetlite.demo.await
import org.effnetlite.demo.idle
import org.effnetlite.testing.DesktopRunner
import org.junit.After
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode
import org.robolectric.shadows.ShadowCameraCharacteristics
import org.robolectric.shadows.StreamConfigurationMapBuilder

/**
 * The framework's camera, played by Robolectric: it opens, configures and disconnects, but gives
 * no pictures (YuvConverterTest and the main screen's tests have those).
 */
@RunWith(DesktopRunner::class)
@Config(application = TestApp::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class Camera2Test {
    private val app = RuntimeEnvironment.getApplication()
    private val manager = checkNotNull(app.getSystemService(CameraManager::class.java))
    private val cameras = Camera2Cameras(app)
    private val told = mutableListOf<CameraState>()
    private var camera: Camera? = null

    @After
    fun close() {
        camera?.close()
        await("the camera's threads end") {
            Thread.getAllStackTraces().keys.none { it.name == "demo-camera" && it.isAlive }
        }
    }

    @Test
    fun withoutCameras() {
        assertFalse(cameras.any())
        open()
        await("it says so") { told == listOf(CameraState.Absent) }
    }

    @Test
    fun opensTheOneAtTheBack() {
        add("front", CameraCharacteristics.LENS_FACING_FRONT, 270, "640x480 1280x960")
        add("back", CameraCharacteristics.LENS_FACING_BACK, 90, "640x480 1440x1080 1920x1080")
        assertTrue(cameras.any())
        open()
        // Upright: the sensor lies by a quarter.
        await("it is open") { told == listOf(CameraState.Open(1080, 1440, mirrored = false)) }
    }

    @Test
    fun aFrontCameraIsShownAsAMirror() {
        add("front", CameraCharacteristics.LENS_FACING_FRONT, 270, "640x480 1280x960")
        open()
        await("it is open") { told == listOf(CameraState.Open(960, 1280, mirrored = true)) }
    }

    @Test
    fun aCameraWithoutPicturesIsNone() {
        add("depth", CameraCharacteristics.LENS_FACING_BACK, 90, "")
        open()
        await("it says so") { told == listOf(CameraState.Absent) }
    }

    @Test
    fun anotherAppTakesIt() {
        add("back", CameraCharacteristics.LENS_FACING_BACK, 90, "640x480")
        open()
        await("it is open") { told.size == 1 }
        shadowOf(manager).triggerDisconnect()
        await("it says so") { told.lastOrNull() == CameraState.Failed(Why.TAKEN, "") }
    }

    @Test
    fun nothingIsToldAfterClosing() {
        add("back", CameraCharacteristics.LENS_FACING_BACK, 90, "640x480")
        open()
        camera!!.close()
        camera!!.close()
        Thread.sleep(50)
        idle()
        assertEquals(emptyList<CameraState>(), told)
    }

    @Test
    fun waitsForTheViewsSurface() {
        add("back", CameraCharacteristics.LENS_FACING_BACK, 90, "640x480")
        val view = TestView(app, available = false)
        open(view)
        idle()
        assertEquals(emptyList<CameraState>(), told)
        view.available = true
        checkNotNull(view.surfaceTextureListener)
            .onSurfaceTextureAvailable(checkNotNull(view.surfaceTexture), 300, 400)
        await("it is open") { told.size == 1 }
    }

    private fun open(view: TextureView = TestView(app)) {
        shadowOf(app).grantPermissions(CAMERA)
        val sink = object : FrameSink {
            override fun wantsFrame() = true

            override fun onFrame(frame: Frame) = Unit
        }
        camera = cameras.create().also { it.open(view, 224, sink) { state -> told += state } }
    }

    private fun add(id: String, facing: Int, sensor: Int, sizes: String) {
        val streams = StreamConfigurationMapBuilder.newBuilder()
        for (size in sizes.split(' ').filter { it.isNotEmpty() }.map { Size.parseSize(it) }) {
            streams.addOutputSize(size)
            streams.addOutputSize(ImageFormat.YUV_420_888, size)
        }
        val about = ShadowCameraCharacteristics.newCameraCharacteristics()
        shadowOf(about).apply {
            set(CameraCharacteristics.LENS_FACING, facing)
            set(CameraCharacteristics.SENSOR_ORIENTATION, sensor)
            set(CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP, streams.build())
        }
        shadowOf(manager).addCamera(id, about)
    }

    /** A view whose surface is there without a graphics processor. */
    private class TestView(context: Context, var available: Boolean = true) : TextureView(context) {
        private val texture = SurfaceTexture(false)

        override fun isAvailable() = available

        override fun getSurfaceTexture(): SurfaceTexture? = texture.takeIf { available }
    }
}
