package org.effnetlite

import android.os.Build
import org.effnetlite.testing.DesktopRunner
import org.effnetlite.testing.Parity
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RuntimeEnvironment
import org.robolectric.annotation.GraphicsMode
import org.robolectric.util.ReflectionHelpers

/**
 * TFLite's classes for Android where their native libraries are not: every delegate is refused with
 * a reason. What they do on a device cannot be tested on a JVM.
 */
@RunWith(DesktopRunner::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class TfliteEnginesTest {
    private val model by lazy { Parity.open().model("other-labels").bytes() }

    private fun reason(engines: TfliteEngines, delegate: Delegate): String =
        assertThrows(DelegateException::class.java) { engines.open(model, delegate, 1) }.message!!

    @Test
    fun `without its libraries every delegate is refused in one line`() {
        val context = RuntimeEnvironment.getApplication()
        for (engines in listOf(TfliteEngines(), TfliteEngines(context, anyGpu = true))) {
            for (delegate in listOf(Delegate.Cpu, Delegate.CpuBuiltin, Delegate.Gpu, Delegate.Nnapi)) {
                val reason = reason(engines, delegate)
                println("${delegate.label}: $reason")
                assertTrue(reason, reason.isNotBlank() && '\n' !in reason)
            }
        }
        val error = assertThrows(ModelException::class.java) {
            EffNetLite.create(model, Options(listOf(Delegate.Gpu)), TfliteEngines())
        }
        assertTrue(error.message, error.message!!.startsWith("no delegate runs the model: gpu: "))
        assertTrue(error.message, "; cpu: " in error.message!!)
    }

    @Test
    fun `an external delegate needs someone who loads it`() {
        val external = Delegate.External("libvendor.so", mapOf("mode" to "fast"))
        assertEquals(
            "TFLite's Java classes cannot load libvendor.so by themselves; pass " +
                "TfliteEngines(external = { its delegate })",
            reason(TfliteEngines(), external),
        )
        var asked: Delegate.External? = null
        val engines = TfliteEngines(external = {
            asked = it
            throw IllegalStateException("no such\ndevice")
        })
        assertEquals("libvendor.so: no such device", reason(engines, external))
        assertEquals(external, asked)
    }

    @Test
    fun `a delegate that was loaded is closed where the model is refused`() {
        var closed = 0
        val engines = TfliteEngines(external = {
            object : org.tensorflow.lite.Delegate {
                override fun getNativeHandle() = 0L

                override fun close() {
                    closed++
                }
            }
        })
        reason(engines, Delegate.External("libvendor.so"))
        assertEquals(1, closed)
    }

    @Test
    fun `NNAPI needs Android 8_1`() {
        val before = Build.VERSION.SDK_INT
        ReflectionHelpers.setStaticField(Build.VERSION::class.java, "SDK_INT", 26)
        try {
            assertEquals(
                "expected Android 8.1 (API 27) or later, found API 26",
                reason(TfliteEngines(), Delegate.Nnapi),
            )
        } finally {
            ReflectionHelpers.setStaticField(Build.VERSION::class.java, "SDK_INT", before)
        }
    }

    @Test
    fun `a missing asset is a model's error`() {
        val context = RuntimeEnvironment.getApplication()
        val error = assertThrows(ModelException::class.java) {
            EffNetLite.create(context, "missing.tflite")
        }
        assertEquals(
            "the asset 'missing.tflite' cannot be read; put a model there with effnet-lite android",
            error.message,
        )
    }
}
