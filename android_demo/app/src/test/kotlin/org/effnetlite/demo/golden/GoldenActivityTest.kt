package org.effnetlite.demo.golden

import android.content.Intent
import android.view.View
import android.view.ViewGroup
import android.widget.Button
import android.widget.TextView
import java.nio.ByteBuffer
import org.effnetlite.Delegate
import org.effnetlite.Engine
import org.effnetlite.EngineFactory
import org.effnetlite.demo.HeldEngines
import org.effnetlite.demo.R
import org.effnetlite.demo.Settings
import org.effnetlite.demo.TestApp
import org.effnetlite.demo.TestModels
import org.effnetlite.demo.await
import org.effnetlite.demo.idle
import org.effnetlite.demo.modelThreads
import org.effnetlite.demo.views.view
import org.effnetlite.testing.DesktopEngines
import org.effnetlite.testing.DesktopRunner
import org.junit.After
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RuntimeEnvironment
import org.robolectric.android.controller.ActivityController
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode

/** The self-test's screen. */
@RunWith(DesktopRunner::class)
@Config(application = TestApp::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class GoldenActivityTest {
    private val app get() = RuntimeEnvironment.getApplication() as TestApp
    private lateinit var controller: ActivityController<GoldenActivity>
    private val activity get() = controller.get()

    @After
    fun nothingIsLeft() {
        if (::controller.isInitialized && !activity.isDestroyed) controller.close()
        await("the model's threads end") { modelThreads().isEmpty() }
    }

    @Test
    fun passesWhereTheSameIsComputed() {
        app.models = TestModels.tiny()
        open()
        awaitEnd()
        assertEquals("tiny.tflite", activity.view<TextView>(R.id.golden_model).text)
        val rows = rows()
        val titles = listOf("CPU (XNNPACK)", "CPU (built-in kernels)", "GPU", "NNAPI")
        assertEquals(titles, rows.map { it[0] })
        val verdicts = listOf("Passed", "Passed", "Not available", "Not available")
        assertEquals(verdicts, rows.map { it[1] })
        val (steps, top1) = rows[0][2].split("\n")
        val expected = Regex("""Largest difference: 0\.\d steps; tolerance: 16\.0""")
        assertTrue(steps, steps.matches(expected))
        assertEquals("The most probable class is the expected one", top1)
        assertEquals("this desktop has no gpu", rows[2][2])
    }

    @Test
    fun failsWhereSomethingElseIsComputed() {
        app.models = TestModels.tiny(DistortingEngines())
        open()
        awaitEnd()
        val rows = rows()
        assertEquals(listOf("Passed", "Failed", "Passed", "Passed"), rows.map { it[1] })
        assertTrue(rows[1][2], "The most probable class is another one than expected" in rows[1][2])
        val verdict = rowViews()[1].view<TextView>(R.id.replay_verdict)
        assertEquals(activity.getColor(R.color.bad), verdict.currentTextColor)
    }

    @Test
    fun runsAgain() {
        app.models = TestModels.tiny()
        open()
        awaitEnd()
        activity.view<Button>(R.id.again).performClick()
        idle()
        assertTrue(!activity.view<Button>(R.id.again).isEnabled)
        awaitEnd()
        assertEquals(4, rows().size)
    }

    @Test
    fun turningInTheMiddle() {
        val engines = HeldEngines()
        app.models = TestModels.tiny(engines)
        engines.hold()
        open()
        engines.awaitRun()
        controller.recreate()
        engines.release()
        awaitEnd()
        assertEquals(4, rows().size)
    }

    @Test
    fun withoutAModel() {
        app.models = TestModels()
        open()
        awaitEnd()
        assertTrue("no model in this app" in activity.view<TextView>(R.id.golden_model).text)
        assertTrue(rows().isEmpty())
    }

    @Test
    fun withACorruptModel() {
        app.models = TestModels(mapOf("bad.tflite" to ByteArray(100)))
        open()
        awaitEnd()
        assertTrue(activity.view<TextView>(R.id.golden_model).text.length > 20)
        assertTrue(rows().isEmpty())
    }

    private fun open() {
        val intent = Settings().writeTo(Intent(app, GoldenActivity::class.java))
        controller = Robolectric.buildActivity(GoldenActivity::class.java, intent).setup()
    }

    private fun awaitEnd() = await("the test ends") { activity.view<Button>(R.id.again).isEnabled }

    private fun rowViews(): List<View> =
        activity.view<ViewGroup>(R.id.replays).let { all -> List(all.childCount, all::getChildAt) }

    private fun rows(): List<List<String>> = rowViews().map { row ->
        listOf(R.id.replay_delegate, R.id.replay_verdict, R.id.replay_detail)
            .map { row.view<TextView>(it).text.toString() }
    }
}

/** Every delegate runs as XNNPACK; the built-in kernels give their outputs the wrong way round. */
private class DistortingEngines : EngineFactory {
    override fun open(model: ByteBuffer, delegate: Delegate, threads: Int): Engine {
        val engine = DesktopEngines().open(model, Delegate.Cpu, threads)
        if (delegate != Delegate.CpuBuiltin) return engine
        return object : Engine by engine {
            override fun run(input: ByteBuffer, outputs: List<ByteBuffer>) {
                engine.run(input, outputs)
                val vector = outputs[0]
                val values = ByteArray(vector.capacity()) { vector.get(it) }
                values.forEachIndexed { place, value -> vector.put(values.size - 1 - place, value) }
            }
        }
    }
}
