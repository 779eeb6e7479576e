package org.effnetlite.demo

import android.Manifest.permission.CAMERA
import android.app.Activity
import android.content.Intent
import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Color
import android.graphics.LinearGradient
import android.graphics.Paint
import android.graphics.Shader
import android.net.Uri
import android.view.View
import android.view.ViewGroup
import android.widget.Button
import android.widget.TextView
import java.io.File
import org.effnetlite.demo.benchmark.BenchmarkActivity
import org.effnetlite.demo.benchmark.Protocol
import org.effnetlite.demo.classify.MainActivity
import org.effnetlite.demo.golden.GoldenActivity
import org.effnetlite.demo.views.view
import org.effnetlite.testing.DesktopRunner
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode

private const val TALL = "w411dp-h891dp-port"
private const val WIDE = "w891dp-h411dp-land"

/**
 * Draws the screens into screens/ of the output, for people to look at: upright and lying, light
 * and dark, with the real model (`effnetlite.model`) and a real photo (of `effnetlite.parity`)
 * where there are some. Checks what can be checked: no text is cut off or without contrast.
 */
@RunWith(DesktopRunner::class)
@Config(application = TestApp::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class ScreensTest {
    private val app get() = RuntimeEnvironment.getApplication() as TestApp

    @Before
    fun giveAModel() {
        app.models = System.getProperty("effnetlite.model")
            ?.let { TestModels(mapOf("efficientnet-lite0-int8.tflite" to File(it).readBytes())) }
            ?: TestModels.tiny()
        app.cameras = TestCameras()
        shadowOf(app).grantPermissions(CAMERA)
    }

    @Test
    @Config(qualifiers = "$TALL-notnight-xhdpi")
    fun photoTallLight() = photo("photo-tall-light")

    @Test
    @Config(qualifiers = "$TALL-night-xhdpi")
    fun photoTallDark() = photo("photo-tall-dark")

    @Test
    @Config(qualifiers = "$WIDE-notnight-xhdpi")
    fun photoWideLight() = photo("photo-wide-light")

    @Test
    @Config(qualifiers = "$WIDE-night-xhdpi")
    fun photoWideDark() = photo("photo-wide-dark")

    @Test
    @Config(qualifiers = "w320dp-h480dp-port-notnight-hdpi", fontScale = 1.3f)
    fun photoSmallScreenLargeText() = photo("photo-small-large-text")

    @Test
    @Config(qualifiers = "$TALL-notnight-xhdpi")
    fun mapTallLight() {
        app.models = TestModels.tiny()
        photo("map-tall-light", map = true)
    }

    @Test
    @Config(qualifiers = "$TALL-notnight-xhdpi")
    fun denied() {
        shadowOf(app).denyPermissions(CAMERA)
        main("denied-tall-light") { activity ->
            activity.onRequestPermissionsResult(2, arrayOf(CAMERA), intArrayOf(-1))
        }
    }

    @Test
    @Config(qualifiers = "$TALL-night-xhdpi")
    fun noModel() {
        app.models = TestModels()
        main("no-model-tall-dark", ready = R.id.notice_title) {}
    }

    @Test
    @Config(qualifiers = "$WIDE-night-xhdpi")
    fun corruptModel() {
        app.models = TestModels(mapOf("bad.tflite" to TestModels.TINY.copyOf(1500)))
        main("corrupt-wide-dark", ready = R.id.notice_title) {}
    }

    @Test
    @Config(qualifiers = "$TALL-notnight-xhdpi")
    fun benchmarkLight() = benchmark("benchmark-tall-light")

    @Test
    @Config(qualifiers = "$TALL-night-xhdpi")
    fun benchmarkDark() = benchmark("benchmark-tall-dark")

    @Test
    @Config(qualifiers = "$TALL-notnight-xhdpi")
    fun goldenLight() = golden("golden-tall-light")

    @Test
    @Config(qualifiers = "$TALL-night-xhdpi")
    fun goldenDark() = golden("golden-tall-dark")

    @Test
    fun icon() {
        val icon = checkNotNull(app.getDrawable(R.mipmap.ic_launcher))
        val bitmap = Bitmap.createBitmap(432, 432, Bitmap.Config.ARGB_8888)
        icon.setBounds(0, 0, 432, 432)
        icon.draw(Canvas(bitmap))
        save("icon", bitmap)
    }

    private fun photo(name: String, map: Boolean = false) {
        val content = realPhoto()?.readBytes() ?: landscape().encoded(Bitmap.CompressFormat.JPEG)
        main(name) { activity ->
            activity.pickPhoto()
            val asked = shadowOf(activity).nextStartedActivityForResult
            val uri: Uri = app.offer("photo.jpg", content)
            val picked = Intent().setData(uri)
            shadowOf(activity).receiveResult(asked.intent, Activity.RESULT_OK, picked)
            await("an answer") { activity.view<ViewGroup>(R.id.categories).childCount > 0 }
            if (map) activity.view<View>(R.id.map).performClick()
        }
    }

    private fun main(name: String, ready: Int = R.id.model_name, work: (MainActivity) -> Unit) {
        val controller = Robolectric.buildActivity(MainActivity::class.java).setup()
        await("it is ready") {
            val text = controller.get().view<TextView>(ready)
            text.isShown && text.text.isNotEmpty() && "…" !in text.text
        }
        work(controller.get())
        draw(name, controller.get())
        controller.close()
    }

    private fun benchmark(name: String) {
        app.protocol = Protocol(most = 200)
        val controller = Robolectric.buildActivity(BenchmarkActivity::class.java).setup()
        controller.get().view<Button>(R.id.start).performClick()
        await("a record") { controller.get().view<View>(R.id.record).visibility == View.VISIBLE }
        draw(name, controller.get())
        controller.close()
    }

    private fun golden(name: String) {
        val controller = Robolectric.buildActivity(GoldenActivity::class.java).setup()
        await("it ends") { controller.get().view<Button>(R.id.again).isEnabled }
        draw(name, controller.get())
        controller.close()
    }

    private fun draw(name: String, activity: Activity) {
        idle()
        val window = activity.window.decorView
        assertTrue("$name has no size", window.width > 0 && window.height > 0)
        val bitmap = Bitmap.createBitmap(window.width, window.height, Bitmap.Config.ARGB_8888)
        window.draw(Canvas(bitmap))
        save(name, bitmap)
        val ground = activity.getColor(R.color.background)
        for (text in texts(window)) checkText(name, text, ground)
    }

    private fun texts(view: View): List<TextView> = when {
        !view.isShown -> emptyList()
        view is ViewGroup -> List(view.childCount, view::getChildAt).flatMap(::texts)
        view is TextView && view.text.isNotEmpty() -> listOf(view)
        else -> emptyList()
    }

    /** Not cut off at the bottom, and of WCAG's contrast for text (AA, 4.5) on its ground. */
    private fun checkText(name: String, view: TextView, ground: Int) {
        val what = "$name, “${view.text}”"
        val layout = checkNotNull(view.layout) { what }
        val room = view.height - view.compoundPaddingTop - view.compoundPaddingBottom
        val needed = layout.getLineTop(minOf(layout.lineCount, view.maxLines))
        assertTrue("$what is cut off: $needed of $room", needed <= room + 1)
        if (view is Button || !view.isEnabled) return // on grounds of their own
        val contrast = contrast(view.currentTextColor, ground)
        assertTrue("$what has a contrast of $contrast", contrast >= 4.5)
    }

    private fun contrast(one: Int, other: Int): Double {
        val (dark, light) = listOf(Color.luminance(one), Color.luminance(other)).sorted()
        return (light + 0.05) / (dark + 0.05)
    }

    private fun save(name: String, bitmap: Bitmap) {
        output("screens/$name.png").writeBytes(bitmap.encoded())
        val colours = HashSet<Int>()
        for (y in 0 until bitmap.height step 7) for (x in 0 until bitmap.width step 7) {
            colours += bitmap.getPixel(x, y)
        }
        assertTrue("$name is empty", colours.size > 8)
    }

    private fun realPhoto(): File? = System.getProperty("effnetlite.parity")
        ?.let { File(it, "photos").listFiles() }.orEmpty()
        .filter { it.extension == "jpg" }.minByOrNull { it.name }

    /** A picture with some content: sky, a field, something red. */
    private fun landscape(): Bitmap {
        val bitmap = plain(GREEN, 800, 600)
        val canvas = Canvas(bitmap)
        val paint = Paint(Paint.ANTI_ALIAS_FLAG)
        paint.shader = LinearGradient(
            0f, 0f, 0f, 360f,
            Color.rgb(90, 150, 230), Color.rgb(220, 235, 250), Shader.TileMode.CLAMP,
        )
        canvas.drawRect(0f, 0f, 800f, 360f, paint)
        paint.shader = null
        paint.color = RED
        canvas.drawRect(420f, 220f, 640f, 420f, paint)
        paint.color = Color.DKGRAY
        canvas.drawCircle(470f, 430f, 55f, paint)
        canvas.drawCircle(600f, 430f, 40f, paint)
        return bitmap
    }
}
