package org.effnetlite.demo.classify

import android.widget.ImageView
import org.effnetlite.demo.BLUE
import org.effnetlite.demo.GREEN
import org.effnetlite.demo.HeldEngines
import org.effnetlite.demo.R
import org.effnetlite.demo.RED
import org.effnetlite.demo.TestModels
import org.effnetlite.demo.await
import org.effnetlite.demo.encoded
import org.effnetlite.demo.idle
import org.effnetlite.demo.modelThreads
import org.effnetlite.demo.offer
import org.effnetlite.demo.plain
import org.effnetlite.demo.views.view
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Test
import org.robolectric.Robolectric

/** Turning, leaving and closing the main screen in the middle of something. */
class InterruptionTest : MainScreenCase() {
    @Test
    fun turningInTheMiddleOfAnInference() {
        val engines = HeldEngines()
        app.models = TestModels.tiny(engines)
        startReady()
        engines.hold()
        pick(app.offer("frog.png", plain(GREEN).encoded()))
        engines.awaitRun()
        val holder = holder()
        turn()
        assertEquals("the model goes on", holder, holder())
        assertTrue("the photo is still there", shown(R.id.photo))
        engines.release()
        awaitBest("tree frog")
        assertEquals("it was loaded once", 1, engines.open)
    }

    @Test
    fun turningWithTheCameraInTheMiddleOfAnInference() {
        val engines = HeldEngines()
        app.models = TestModels.tiny(engines)
        startReady()
        engines.hold()
        give(RED)
        engines.awaitRun()
        turn()
        assertEquals("one camera is open", 1, cameras.made.count { it.isOpen })
        engines.release()
        await("the next frame is wanted") { give(BLUE) }
        awaitBest("écharpe")
    }

    @Test
    fun leavingTheScreenInTheMiddleOfAnInference() {
        val engines = HeldEngines()
        app.models = TestModels.tiny(engines)
        startReady()
        engines.hold()
        give(RED)
        engines.awaitRun()
        controller.pause().stop()
        assertNull("the camera is closed", cameras.open)
        engines.release()
        idle()
        controller.start().resume()
        idle()
        await("the next frame is wanted") { give(GREEN) }
        awaitBest("tree frog")
    }

    @Test
    fun closingTheScreenInTheMiddleOfAnInference() {
        val engines = HeldEngines()
        app.models = TestModels.tiny(engines)
        startReady()
        engines.hold()
        pick(app.offer("frog.png", plain(GREEN).encoded()))
        engines.awaitRun()
        val holder = holder()
        activity.finish()
        controller.pause().stop().destroy()
        val state = holder.state
        engines.release()
        await("the thread ends") { modelThreads().isEmpty() }
        idle()
        assertEquals("late answers are dropped", state, holder.state)
        assertEquals("engines are closed", 0, engines.open)
    }

    @Test
    fun closingTheScreenWhileTheModelLoads() {
        val engines = HeldEngines().apply { hold() }
        app.models = TestModels.tiny(engines)
        start()
        engines.awaitRun()
        controller.close()
        engines.release()
        await("the engine is closed") { engines.open == 0 && modelThreads().isEmpty() }
    }

    @Test
    fun whatTheSystemEndedComesBack() {
        startReady()
        pick(app.offer("frog.png", plain(GREEN).encoded()))
        awaitBest("tree frog")
        val saved = android.os.Bundle()
        controller.pause().stop().saveInstanceState(saved).destroy()
        controller = Robolectric.buildActivity(MainActivity::class.java).setup(saved)
        awaitBest("tree frog")
        assertNull("the camera was not opened", cameras.open)
        assertTrue(activity.view<ImageView>(R.id.photo).isShown)
    }
}
