package org.effnetlite.demo.classify

import android.view.View
import android.view.ViewGroup
import android.widget.ProgressBar
import android.widget.Switch
import org.effnetlite.demo.BLUE
import org.effnetlite.demo.GREEN
import org.effnetlite.demo.HeldEngines
import org.effnetlite.demo.R
import org.effnetlite.demo.RED
import org.effnetlite.demo.TestModels
import org.effnetlite.demo.await
import org.effnetlite.demo.benchmark.BenchmarkActivity
import org.effnetlite.demo.encoded
import org.effnetlite.demo.golden.GoldenActivity
import org.effnetlite.demo.idle
import org.effnetlite.demo.offer
import org.effnetlite.demo.offerGone
import org.effnetlite.demo.plain
import org.effnetlite.demo.views.view
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNotNull
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.robolectric.Shadows.shadowOf

/** The main screen with the camera and photos. */
class MainActivityTest : MainScreenCase() {
    @Test
    fun showsWhatTheCameraSees() {
        startReady()
        assertEquals(32, cameras.open?.minSide)
        assertFalse(shown(R.id.notice))
        assertTrue(shown(R.id.waiting))
        assertTrue(give(RED))
        awaitBest("tractor")
        assertEquals(listOf("tractor", "cup"), labels().take(2))
        assertFalse(shown(R.id.waiting))
        assertEquals("5.0 ms", figure(R.id.time_frame))
        assertTrue(figure(R.id.time_preprocess).endsWith(" ms"))
        assertTrue(figure(R.id.time_inference).endsWith(" ms"))
        val row = activity.view<ViewGroup>(R.id.categories).getChildAt(0)
        assertEquals("tractor, 98.0%", row.contentDescription)
        assertEquals(980f, row.view<ProgressBar>(R.id.category_bar).progress.toFloat(), 3f)
        await("the next frame is wanted") { give(GREEN, rotation = 0) }
        awaitBest("tree frog")
    }

    @Test
    fun saysWhatTheModelIs() {
        startReady()
        assertEquals("tiny.tflite", text(R.id.model_name))
        val facts = text(R.id.model_facts)
        assertTrue(facts, "tiny · int8 · 32 × 32 pixels · 4 classes" in facts)
        assertTrue(facts, "tensorflow-lite" in facts)
        val threads = holder().state.settings.threads
        val plural = if (threads == 1) "thread" else "threads"
        assertEquals("Runs on CPU (XNNPACK), $threads $plural", text(R.id.runs_on))
        assertEquals("", text(R.id.refused))
    }

    @Test
    fun dropsFramesWhileTheModelIsBusy() {
        val engines = HeldEngines()
        app.models = TestModels.tiny(engines)
        startReady()
        engines.hold()
        assertTrue(give(RED))
        engines.awaitRun()
        repeat(3) { assertFalse(give(GREEN)) }
        engines.release()
        awaitBest("tractor")
        assertTrue(give(BLUE))
        awaitBest("écharpe")
    }

    @Test
    fun showsAPhoto() {
        startReady()
        pick(app.offer("frog.png", plain(GREEN).encoded()))
        awaitBest("tree frog")
        assertTrue(shown(R.id.photo))
        assertNull("the camera is closed", cameras.open)
        assertFalse("a photo has no camera time", shown(R.id.time_frame))
        click(R.id.live)
        assertNotNull(cameras.open)
        assertFalse(shown(R.id.photo))
        assertTrue(labels().isEmpty())
    }

    @Test
    fun aPhotoThatCannotBeReadLeavesTheCameraOn() {
        startReady()
        pick(app.offer("letter.png", "not a picture".toByteArray()))
        await("the problem is said") { "cannot be read" in text(R.id.problem) }
        assertNotNull(cameras.open)
        pick(app.offerGone("gone.png"))
        await("the problem is said") { "cannot be read" in text(R.id.problem) }
        pick(app.offer("cup.png", plain(0xff808080.toInt()).encoded()))
        awaitBest("cup")
        assertEquals("", text(R.id.problem))
    }

    @Test
    fun noAppToPickWith() {
        startReady()
        shadowOf(app).checkActivities(true)
        click(R.id.pick)
        assertTrue(text(R.id.problem), "no app" in text(R.id.problem))
    }

    @Test
    fun noModel() {
        app.models = TestModels()
        start()
        await("it says so") { text(R.id.notice_title) == "No model" }
        assertEquals("effnet-lite android MODEL.tflite", text(R.id.notice_command))
        assertTrue("no camera without a model", cameras.made.isEmpty())
        assertFalse(shown(R.id.notice_action))
    }

    @Test
    fun corruptModels() {
        val tiny = TestModels.TINY
        val damaged = mapOf(
            "text" to "no model at all".toByteArray(),
            "empty" to ByteArray(0),
            "cut short" to tiny.copyOf(tiny.size / 3),
        )
        for ((what, content) in damaged) {
            app.models = TestModels(mapOf("bad.tflite" to content))
            start()
            await("it says that $what is no model") {
                text(R.id.notice_title) == "The model cannot be used"
            }
            assertTrue(what, text(R.id.notice_text).length > 20)
            assertFalse(what, text(R.id.notice_text).contains('\n'))
            assertTrue(what, cameras.made.isEmpty())
            controller.close()
        }
    }

    @Test
    fun showsWhereTheModelLooks() {
        startReady()
        assertTrue(shown(R.id.map))
        assertFalse(shown(R.id.legend))
        assertTrue(give(RED))
        awaitBest("tractor")
        activity.view<Switch>(R.id.map).performClick()
        idle()
        assertTrue(shown(R.id.legend))
        assertTrue(text(R.id.legend_text), "for tractor" in text(R.id.legend_text))
        val overlay = activity.view<View>(R.id.overlay)
        assertEquals("Coloured is where the model looked for tractor.", overlay.contentDescription)
        turn()
        assertTrue(activity.view<Switch>(R.id.map).isChecked)
    }

    @Test
    fun opensTheOtherScreens() {
        startReady()
        for ((item, screen) in listOf(
            R.id.menu_benchmark to BenchmarkActivity::class.java,
            R.id.menu_golden to GoldenActivity::class.java,
        )) {
            shadowOf(activity).clickMenuItem(item)
            val intent = shadowOf(activity).nextStartedActivity
            assertEquals(screen.name, intent.component?.className)
            assertEquals("cpu", intent.getStringExtra("delegate"))
        }
    }
}
