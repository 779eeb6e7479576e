package org.effnetlite

import android.graphics.Color
import org.effnetlite.testing.DesktopRunner
import org.effnetlite.testing.FailingEngines
import org.effnetlite.testing.Parity
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.annotation.GraphicsMode

/** From delegate to delegate, with reasons. */
@RunWith(DesktopRunner::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class DelegateFallbackTest {
    private val model by lazy { Parity.open().model("other-labels") }
    private val external = Delegate.External("/vendor/lib64/libedgetpu.so", mapOf("device" to "usb"))
    private val all = listOf(Delegate.Gpu, Delegate.Nnapi, external, Delegate.Cpu)
    private val picture by lazy { plain(80, 60, Color.RED) }

    @Test
    fun `delegates that do not load are passed over, with their reasons`() {
        val reasons = mapOf(
            Delegate.Gpu to "no OpenCL", Delegate.Nnapi to "no accelerator", external to "no library",
        )
        val engines = FailingEngines(atLoad = reasons)
        EffNetLite.create(model.bytes(), Options(all), engines).use {
            assertEquals(Delegate.Cpu, it.delegate.used)
            assertEquals(reasons.map { (delegate, why) -> Refusal(delegate, why) }, it.delegate.refused)
            assertEquals(3, it.classify(picture).size)
        }
        assertEquals(0, engines.open)
    }

    @Test
    fun `the first that works is used and the rest not tried`() {
        val engines = FailingEngines(atLoad = mapOf(Delegate.Gpu to "no OpenCL"))
        EffNetLite.create(model.bytes(), Options(all), engines).use {
            val expected = DelegateReport(Delegate.Nnapi, listOf(Refusal(Delegate.Gpu, "no OpenCL")))
            assertEquals(expected, it.delegate)
            assertEquals(1, engines.open)
        }
    }

    @Test
    fun `one that fails at its first run is passed over before any picture`() {
        val engines = FailingEngines(atRun = mapOf(Delegate.Gpu to 0))
        EffNetLite.create(model.bytes(), Options(all), engines).use {
            val expected = DelegateReport(Delegate.Nnapi, listOf(Refusal(Delegate.Gpu, "run 0 fails")))
            assertEquals(expected, it.delegate)
            assertEquals(1, engines.open)
        }
        assertEquals(0, engines.open)
    }

    @Test
    fun `one that fails later hands its picture on`() {
        val expected = EffNetLite.create(model.bytes(), engines = FailingEngines())
            .use { it.classify(picture) }
        // Run 0 is the test run, 1 the first picture; the second picture's run fails.
        val engines = FailingEngines(atRun = mapOf(Delegate.Gpu to 2, Delegate.Nnapi to 1))
        val options = Options(listOf(Delegate.Gpu, Delegate.Nnapi))
        EffNetLite.create(model.bytes(), options, engines).use {
            it.classify(plain(50, 50, Color.BLUE))
            assertEquals(Delegate.Gpu, it.delegate.used)
            assertEquals(expected, it.classify(picture))
            assertEquals(Delegate.Cpu, it.delegate.used)
            assertEquals(
                listOf("failed while running: run 2 fails", "failed while running: run 1 fails"),
                it.delegate.refused.map { refusal -> refusal.reason },
            )
            assertEquals(1, engines.open)
        }
        assertEquals(0, engines.open)
    }

    @Test
    fun `the CPU is tried last even where it is not named`() {
        val engines = FailingEngines(atLoad = mapOf(Delegate.Gpu to "no OpenCL"))
        EffNetLite.create(model.bytes(), Options(listOf(Delegate.Gpu)), engines).use {
            assertEquals(Delegate.Cpu, it.delegate.used)
        }
    }

    @Test
    fun `where none works all reasons are in one line`() {
        val engines = FailingEngines(
            atLoad = mapOf(external to "no\n library. "), atRun = mapOf(Delegate.Cpu to 0),
        )
        val error = assertThrows(ModelException::class.java) {
            EffNetLite.create(model.bytes(), Options(listOf(external)), engines)
        }
        assertEquals(
            "no delegate runs the model: libedgetpu.so: no library; cpu: run 0 fails", error.message,
        )
        assertEquals(0, engines.open)
        assertTrue(Thread.getAllStackTraces().keys.none { it.name == "effnetlite" && it.isAlive })
    }

    @Test
    fun `where the last fails later every call says so, and closing works`() {
        val engines = FailingEngines(atRun = mapOf(Delegate.Cpu to 1))
        EffNetLite.create(model.bytes(), engines = engines).use {
            repeat(2) { _ ->
                val error = assertThrows(ModelException::class.java) { it.classify(picture) }
                assertEquals(
                    "no delegate runs the model: cpu: failed while running: run 1 fails",
                    error.message,
                )
            }
            assertEquals(0, engines.open)
        }
    }

    @Test
    fun `an engine with other tensors is refused`() {
        val factory = EngineFactory { bytes, delegate, threads ->
            val inner = FailingEngines().open(bytes, delegate, threads)
            if (delegate == Delegate.Cpu) inner else object : Engine by inner {
                override val outputs = inner.outputs.map { it.copy(type = TensorType.FLOAT32) }
            }
        }
        EffNetLite.create(model.bytes(), Options(listOf(Delegate.Gpu)), factory).use {
            assertEquals(Delegate.Cpu, it.delegate.used)
            assertTrue(it.delegate.refused.single().reason.startsWith("gives the model other tensors"))
        }
    }

    @Test
    fun `options that cannot be are refused`() {
        for (wrong in listOf(
            { Options(delegates = emptyList()) }, { Options(threads = 0) }, { Options(topK = 0) },
        )) {
            assertThrows(IllegalArgumentException::class.java) { wrong() }
        }
    }

    @Test
    fun `threads are bounded by the cores`() {
        var asked = 0
        val factory = EngineFactory { bytes, delegate, threads ->
            asked = threads
            FailingEngines().open(bytes, delegate, threads)
        }
        EffNetLite.create(model.bytes(), Options(threads = 1000), factory).close()
        assertEquals(Runtime.getRuntime().availableProcessors(), asked)
    }
}
