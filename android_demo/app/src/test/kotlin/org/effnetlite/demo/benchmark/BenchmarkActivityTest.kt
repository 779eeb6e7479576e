package org.effnetlite.demo.benchmark

import android.content.Intent
import android.view.View
import android.widget.Button
import android.widget.Spinner
import android.widget.TextView
import java.io.File
import org.effnetlite.Delegate
import org.effnetlite.demo.DemoApp
import org.effnetlite.demo.HeldEngines
import org.effnetlite.demo.R
import org.effnetlite.demo.Settings
import org.effnetlite.demo.TestApp
import org.effnetlite.demo.TestModels
import org.effnetlite.demo.await
import org.effnetlite.demo.idle
import org.effnetlite.demo.modelThreads
import org.effnetlite.demo.output
import org.effnetlite.demo.views.view
import org.effnetlite.testing.DesktopRunner
import org.effnetlite.testing.FailingEngines
import org.json.JSONObject
import org.junit.After
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.android.controller.ActivityController
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode

/** The benchmark's screen and its record, of real runs of a tiny model. */
@RunWith(DesktopRunner::class)
@Config(application = TestApp::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class BenchmarkActivityTest {
    private val app get() = RuntimeEnvironment.getApplication() as TestApp
    private lateinit var controller: ActivityController<BenchmarkActivity>
    private val activity get() = controller.get()

    @Before
    fun giveAModel() {
        app.models = TestModels.tiny()
    }

    @After
    fun nothingIsLeft() {
        if (::controller.isInitialized && !activity.isDestroyed) controller.close()
        await("the model's threads end") { modelThreads().isEmpty() }
    }

    @Test
    fun writesTheRecordOfPython() {
        open(Settings(threads = 1))
        assertEquals("", text(R.id.record_title))
        click(R.id.start)
        assertEquals("Stop", text(R.id.start))
        assertTrue("the screen stays on", activity.view<View>(R.id.root).keepScreenOn)
        awaitRecord()
        assertFalse(activity.view<View>(R.id.root).keepScreenOn)
        val file = recordFile()
        assertEquals(listOf(file.name), file.parentFile!!.list()!!.toList())
        val document = JSONObject(file.readText())
        val record = document.getJSONArray("records").getJSONObject(0)
        assertEquals("app", record.getString("device_kind"))
        assertEquals("cpu", record.getString("delegate"))
        assertEquals("tensorflow-lite", record.getString("runtime"))
        assertEquals(1, record.getInt("threads"))
        assertEquals(5, record.getInt("warmup"))
        assertTrue(record.getInt("runs") >= 50)
        assertEquals(record.getInt("runs"), record.getJSONArray("times_ms").length())
        val times = record.getJSONArray("times_ms")
        val sum = (0 until times.length()).sumOf { times.getDouble(it) }
        assertTrue("timed long enough", sum >= 1000 * app.protocol.seconds - 0.1)
        val percentiles =
            listOf("min_ms", "p10_ms", "p50_ms", "p90_ms", "p99_ms").map(record::getDouble)
        assertEquals(percentiles.sorted(), percentiles)
        assertTrue(record.getDouble("init_ms") > 0)
        assertTrue(record.getDouble("first_run_ms") > 0)
        assertEquals(64, record.getString("model_sha256").length)
        assertTrue(record.isNull("serial") && record.isNull("mean_interval"))
        val conditions = record.getJSONObject("conditions")
        for (key in listOf("android", "sdk", "abi", "soc")) assertTrue(key, conditions.has(key))
        assertEquals(0, document.getJSONArray("failures").length())
        // For tests/android/test_android_record.py.
        file.copyTo(output("benchmark_record.json"), overwrite = true)
    }

    @Test
    fun theProtocolIsThatOfTheHost() {
        assertEquals(Protocol(warmup = 5, runs = 50, seconds = 1.0), DemoApp().protocol)
        assertEquals(0.5, Protocol().share(done = 500, spent = 0.5), 1e-9)
        assertEquals(0.2, Protocol().share(done = 10, spent = 0.9), 1e-9)
        assertEquals("a very fast model", 1.0, Protocol().share(done = 2000, spent = 0.1), 1e-9)
        open()
        val about = text(R.id.about)
        assertTrue(about, "5 runs to warm up, then at least 50 runs" in about)
    }

    @Test
    fun sharesTheRecord() {
        open()
        click(R.id.start)
        awaitRecord()
        click(R.id.share)
        val chooser = shadowOf(activity).nextStartedActivity
        assertEquals(Intent.ACTION_CHOOSER, chooser.action)
        @Suppress("DEPRECATION") // its successor needs Android 13
        val shared = checkNotNull(chooser.getParcelableExtra<Intent>(Intent.EXTRA_INTENT))
        assertEquals(Intent.ACTION_SEND, shared.action)
        assertEquals("text/plain", shared.type)
        assertEquals(recordFile().readText(), shared.getStringExtra(Intent.EXTRA_TEXT))
    }

    @Test
    fun aRefusedDelegateIsAFailureAndTheRecordNamesTheOneThatRan() {
        app.models = TestModels.tiny(FailingEngines(atLoad = mapOf(Delegate.Gpu to "no OpenCL")))
        open(Settings(Delegate.Gpu, 1))
        assertEquals("GPU", activity.view<Spinner>(R.id.delegate).selectedItem)
        click(R.id.start)
        awaitRecord()
        assertEquals("tiny.tflite gpu: no OpenCL", text(R.id.status))
        val document = JSONObject(recordFile().readText())
        assertEquals("tiny.tflite gpu: no OpenCL", document.getJSONArray("failures").getString(0))
        val record = document.getJSONArray("records").getJSONObject(0)
        assertEquals("cpu", record.getString("delegate"))
    }

    @Test
    fun stopping() {
        val engines = HeldEngines()
        app.models = TestModels.tiny(engines)
        open()
        engines.hold()
        click(R.id.start)
        engines.awaitRun()
        click(R.id.start)
        engines.release()
        await("it says so") { text(R.id.status) == "Stopped; nothing was written." }
        assertEquals("Start", text(R.id.start))
        assertEquals("", text(R.id.record_title))
    }

    @Test
    fun turningGoesOnAndLeavingIsNoted() {
        val engines = HeldEngines()
        app.models = TestModels.tiny(engines)
        open()
        engines.hold()
        click(R.id.start)
        engines.awaitRun()
        controller.recreate()
        idle()
        assertEquals("it goes on", "Stop", text(R.id.start))
        controller.pause().stop()
        controller.start().resume()
        engines.release()
        awaitRecord()
        val noise = JSONObject(recordFile().readText())
            .getJSONArray("records").getJSONObject(0).getJSONArray("noise")
        assertTrue("$noise", "the app was not on the screen all the time" in noise.toString())
        assertTrue(text(R.id.noise), "not on the screen" in text(R.id.noise))
    }

    @Test
    fun closingInTheMiddleOfARun() {
        val engines = HeldEngines()
        app.models = TestModels.tiny(engines)
        open()
        engines.hold()
        click(R.id.start)
        engines.awaitRun()
        controller.close()
        engines.release()
        await("the engine is closed") { engines.open == 0 && modelThreads().isEmpty() }
    }

    @Test
    fun noModelAndACorruptOne() {
        app.models = TestModels()
        open()
        click(R.id.start)
        await("it says so") { "no model in this app" in text(R.id.status) }
        controller.close()
        app.models = TestModels(mapOf("bad.tflite" to ByteArray(100)))
        open()
        click(R.id.start)
        await("it says why") { text(R.id.status).startsWith("Nothing was measured: ") }
    }

    private fun open(settings: Settings = Settings()) {
        val intent = settings.writeTo(Intent(app, BenchmarkActivity::class.java))
        controller = Robolectric.buildActivity(BenchmarkActivity::class.java, intent).setup()
    }

    private fun text(id: Int): String {
        val found = activity.view<TextView>(id)
        return if (found.isShown) found.text.toString() else ""
    }

    private fun click(id: Int) {
        activity.view<Button>(id).performClick()
        idle()
    }

    private fun awaitRecord() = await("a record") { text(R.id.record_title).isNotEmpty() }

    private fun recordFile(): File {
        val written = text(R.id.written)
        assertTrue(written, written.startsWith("Written to "))
        return File(written.removePrefix("Written to "))
    }
}
