package org.effnetlite.demo.classify

import android.Manifest.permission.CAMERA
import android.app.Activity
import android.content.Intent
import android.net.Uri
import android.view.View
import android.view.ViewGroup
import android.widget.Button
import android.widget.TextView
import org.effnetlite.demo.R
import org.effnetlite.demo.TestApp
import org.effnetlite.demo.TestCameras
import org.effnetlite.demo.TestModels
import org.effnetlite.demo.await
import org.effnetlite.demo.camera.Frame
import org.effnetlite.demo.idle
import org.effnetlite.demo.modelThreads
import org.effnetlite.demo.plain
import org.effnetlite.demo.views.view
import org.effnetlite.testing.DesktopRunner
import org.junit.After
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.android.controller.ActivityController
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode

/**
 * What the tests of the main screen share: the screen, and what a user sees and does. Inference is
 * real, of a tiny model whose labels are not ImageNet's.
 */
@RunWith(DesktopRunner::class)
@Config(application = TestApp::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
abstract class MainScreenCase {
    protected val app get() = RuntimeEnvironment.getApplication() as TestApp
    protected val cameras = TestCameras()
    protected lateinit var controller: ActivityController<MainActivity>
    protected val activity get() = controller.get()

    @Before
    fun giveWhatIsNeeded() {
        app.models = TestModels.tiny()
        app.cameras = cameras
        shadowOf(app).grantPermissions(CAMERA)
    }

    @After
    fun nothingIsLeft() {
        if (::controller.isInitialized && !activity.isDestroyed) controller.close()
        await("the model's threads end") { modelThreads().isEmpty() }
    }

    protected fun start() {
        controller = Robolectric.buildActivity(MainActivity::class.java).setup()
    }

    protected fun startReady() {
        start()
        await("the model is loaded") { text(R.id.model_name).isNotEmpty() }
    }

    protected fun text(id: Int): String {
        val found = activity.view<TextView>(id)
        return if (found.isShown) found.text.toString() else ""
    }

    protected fun shown(id: Int): Boolean = activity.view<View>(id).isShown

    protected fun click(id: Int) {
        assertTrue(shown(id))
        activity.view<Button>(id).performClick()
        idle()
    }

    protected fun labels(): List<String> {
        val rows = activity.view<ViewGroup>(R.id.categories)
        return List(rows.childCount) {
            rows.getChildAt(it).view<TextView>(R.id.category_label).text.toString()
        }
    }

    protected fun awaitBest(label: String) = await(label) { labels().firstOrNull() == label }

    protected fun pick(uri: Uri) {
        click(if (shown(R.id.notice_pick)) R.id.notice_pick else R.id.pick)
        val asked = shadowOf(activity).nextStartedActivityForResult
        assertEquals(Intent.ACTION_OPEN_DOCUMENT, asked.intent.action)
        assertEquals("image/*", asked.intent.type)
        shadowOf(activity).receiveResult(asked.intent, Activity.RESULT_OK, Intent().setData(uri))
        idle()
    }

    protected fun give(colour: Int, rotation: Int = 90): Boolean =
        checkNotNull(cameras.open).give(Frame(plain(colour, 640, 480), rotation, 5_000_000))

    protected fun figure(id: Int): String =
        activity.view<View>(id).view<TextView>(R.id.figure_value).text.toString()

    protected fun holder(): MainHolder {
        return activity.onRetainNonConfigurationInstance() as MainHolder
    }

    protected fun turn() {
        controller.recreate()
        idle()
    }

    protected fun answer(granted: Boolean) {
        val result = if (granted) 0 else -1
        activity.onRequestPermissionsResult(2, arrayOf(CAMERA), intArrayOf(result))
        idle()
    }
}
