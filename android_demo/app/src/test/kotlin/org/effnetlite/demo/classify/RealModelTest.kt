package org.effnetlite.demo.classify

import android.view.View
import android.widget.TextView
import java.io.File
import org.effnetlite.demo.R
import org.effnetlite.demo.TestModels
import org.effnetlite.demo.await
import org.effnetlite.demo.encoded
import org.effnetlite.demo.offer
import org.effnetlite.demo.plain
import org.effnetlite.demo.views.view
import org.junit.Assert.assertTrue
import org.junit.Assume.assumeNotNull
import org.junit.Before
import org.junit.Test

/** The main screen with the model of the system property `effnetlite.model`. */
class RealModelTest : MainScreenCase() {
    @Before
    fun giveTheModel() {
        val path = System.getProperty("effnetlite.model")
        assumeNotNull("the system property effnetlite.model names no model", path)
        app.models = TestModels(mapOf("model.tflite" to File(path!!).readBytes()))
    }

    @Test
    fun aPhotoAndAFrame() {
        startReady()
        assertTrue(text(R.id.model_facts), "classes" in text(R.id.model_facts))
        assertTrue(give(0xff336699.toInt()))
        await("an answer") { labels().size == 5 }
        pick(app.offer("blue.png", plain(0xff2040c0.toInt(), 500, 375).encoded()))
        await("the photo's answer") { shown(R.id.photo) && labels().size == 5 }
        val time = activity.view<View>(R.id.time_inference).view<TextView>(R.id.figure_value)
        assertTrue(time.text.toString(), time.text.matches(Regex("""\d+\.\d ms""")))
    }
}
