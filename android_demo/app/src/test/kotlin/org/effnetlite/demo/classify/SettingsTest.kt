package org.effnetlite.demo.classify

import android.widget.Spinner
import org.effnetlite.Delegate
import org.effnetlite.demo.HeldEngines
import org.effnetlite.demo.R
import org.effnetlite.demo.RED
import org.effnetlite.demo.TestModels
import org.effnetlite.demo.await
import org.effnetlite.demo.idle
import org.effnetlite.demo.views.view
import org.effnetlite.testing.FailingEngines
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test

/** Delegates and threads, and what became of them. */
class SettingsTest : MainScreenCase() {
    @Test
    fun aDelegateThatDoesNotLoad() {
        app.models = TestModels.tiny(FailingEngines(atLoad = mapOf(Delegate.Gpu to "no OpenCL")))
        startReady()
        val delegates = activity.view<Spinner>(R.id.delegate)
        assertEquals("CPU (XNNPACK)", delegates.selectedItem)
        delegates.setSelection(2)
        await("it says why") { text(R.id.refused) == "GPU is not used: no OpenCL" }
        assertTrue(text(R.id.runs_on), text(R.id.runs_on).startsWith("Runs on CPU (XNNPACK)"))
        assertTrue(give(RED))
        awaitBest("tractor")
    }

    @Test
    fun aDelegateThatFailsWhileItRuns() {
        // Run 0 is the library's own.
        app.models = TestModels.tiny(FailingEngines(atRun = mapOf(Delegate.Nnapi to 1)))
        startReady()
        activity.view<Spinner>(R.id.delegate).setSelection(3)
        await("it is in use") { text(R.id.runs_on).startsWith("Runs on NNAPI") }
        assertTrue(give(RED))
        awaitBest("tractor")
        assertTrue(text(R.id.runs_on).startsWith("Runs on CPU (XNNPACK)"))
        assertTrue(text(R.id.refused), text(R.id.refused).startsWith("NNAPI is not used: failed"))
    }

    @Test
    fun otherThreadsLoadTheModelAgain() {
        val engines = HeldEngines()
        app.models = TestModels.tiny(engines)
        startReady()
        val spinner = activity.view<Spinner>(R.id.threads)
        val other = if (spinner.selectedItemPosition == 0) spinner.count - 1 else 0
        spinner.setSelection(other)
        await("it is loaded again") {
            idle()
            other == spinner.selectedItemPosition && text(R.id.runs_on).contains(
                ", ${spinner.getItemAtPosition(other)} thread",
            )
        }
        assertEquals("the old one is closed", 1, engines.open)
        assertEquals("the camera stays open", 1, cameras.made.size)
        assertTrue(give(RED))
        awaitBest("tractor")
    }
}
