package org.effnetlite.demo

import android.view.TextureView
import java.nio.ByteBuffer
import org.effnetlite.EffNetLite
import org.effnetlite.EngineFactory
import org.effnetlite.Options
import org.effnetlite.demo.benchmark.Protocol
import org.effnetlite.demo.camera.Camera
import org.effnetlite.demo.camera.Cameras
import org.effnetlite.demo.camera.CameraState
import org.effnetlite.demo.camera.Frame
import org.effnetlite.demo.camera.FrameSink
import org.effnetlite.testing.DesktopEngines

/** The app with models and cameras that a test gives it; without any at first. */
class TestApp : DemoApp() {
    override var models: Models = TestModels()
    override var cameras: Cameras = TestCameras()
    override var protocol = Protocol(seconds = 0.002)
}

/** Models from memory, by name. */
class TestModels(
    private val files: Map<String, ByteArray> = emptyMap(),
    var engines: EngineFactory = DesktopEngines(),
) : Models {
    override fun names(): List<String> = files.keys.sorted()

    override fun load(name: String, options: Options): EffNetLite =
        EffNetLite.create(ByteBuffer.wrap(files.getValue(name)), options, engines)

    companion object {
        /** tiny_model.py says what it is. */
        val TINY: ByteArray by lazy { resource("tiny.tflite") }

        fun tiny(engines: EngineFactory = DesktopEngines()) =
            TestModels(mapOf("tiny.tflite" to TINY), engines)

        private fun resource(name: String): ByteArray =
            checkNotNull(TestModels::class.java.getResourceAsStream("/$name")).readBytes()
    }
}

/** Cameras that work at once and give the frames that a test hands in. */
class TestCameras(private val present: Boolean = true) : Cameras {
    /** All that were made. */
    val made = mutableListOf<TestCamera>()

    /** The one that is open. */
    val open: TestCamera? get() = made.singleOrNull { it.isOpen }

    override fun any(): Boolean = present

    override fun create(): Camera = TestCamera().also { made += it }
}

class TestCamera : Camera {
    var isOpen = false
        private set
    var minSide = 0
        private set
    private lateinit var sink: FrameSink
    private lateinit var listener: (CameraState) -> Unit

    override fun open(
        view: TextureView,
        minSide: Int,
        sink: FrameSink,
        listener: (CameraState) -> Unit,
    ) {
        this.minSide = minSide
        this.sink = sink
        this.listener = listener
        isOpen = true
        listener(CameraState.Open(480, 640, mirrored = false))
    }

    override fun close() {
        isOpen = false
    }

    /** Hands in a frame as the camera's thread does; gives whether it was wanted. */
    fun give(frame: Frame): Boolean {
        val wanted = isOpen && sink.wantsFrame()
        if (wanted) sink.onFrame(frame)
        return wanted
    }

    /** The system takes it away. */
    fun fail(state: CameraState) = listener(state)
}
