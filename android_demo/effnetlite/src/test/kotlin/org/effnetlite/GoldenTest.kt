package org.effnetlite

import org.effnetlite.testing.DesktopEngines
import org.effnetlite.testing.DesktopRunner
import org.effnetlite.testing.Parity
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.annotation.GraphicsMode
import java.nio.ByteBuffer
import java.nio.ByteOrder

/** The check that a model carries, replayed on a real engine and compared as golden.py does. */
@RunWith(DesktopRunner::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class GoldenTest {
    @Test
    fun `every model passes its own check, as far off as in Python`() {
        val models = Parity.open().models.filter { it.goldenSteps != null }
        assertTrue(models.size >= 5)
        for (model in models) {
            val result = replay(model, Delegate.Cpu)
            assertTrue("${model.name}: $result", result.passed && result.top1Matches)
            // None where both are XNNPACK of one release.
            assertEquals(model.name, model.goldenSteps!!, result.maxDifferenceSteps, 1e-3)
        }
    }

    @Test
    fun `the built-in kernels are as far off as in Python`() {
        for (model in Parity.open().models.filter { it.builtinSteps != null }) {
            val result = replay(model, Delegate.CpuBuiltin)
            println("${model.name}: built-in kernels $result")
            assertEquals(model.name, model.builtinSteps!!, result.maxDifferenceSteps, 1.0)
        }
    }

    private fun replay(model: Parity.Model, delegate: Delegate): GoldenResult =
        EffNetLite.create(model.bytes(), Options(listOf(delegate)), DesktopEngines()).use {
            assertEquals(delegate, it.delegate.used)
            it.replayGolden()
        }

    @Test
    fun `it fails where colours are swapped`() {
        val model = Parity.open().model("int8")
        EffNetLite.create(model.bytes(), engines = Swapping()).use {
            val result = it.replayGolden()
            println("swapped colours: $result")
            assertFalse("$result", result.passed)
        }
    }

    @Test
    fun `a delegate that computes something else can be refused`() {
        val model = Parity.open().model("int8")
        val swapping = Swapping(setOf(Delegate.Gpu))
        val options = Options(listOf(Delegate.Gpu, Delegate.Cpu), checkGolden = true)
        EffNetLite.create(model.bytes(), options, swapping).use {
            assertEquals(Delegate.Cpu, it.delegate.used)
            val refusal = it.delegate.refused.single()
            assertEquals(Delegate.Gpu, refusal.delegate)
            assertTrue(refusal.reason, refusal.reason.startsWith("computes something else: the golden"))
            assertTrue(it.replayGolden().passed)
        }
        // Not asked for, it is used.
        val trusting = options.copy(checkGolden = false)
        EffNetLite.create(model.bytes(), trusting, Swapping(setOf(Delegate.Gpu))).use {
            assertEquals(Delegate.Gpu, it.delegate.used)
        }
    }

    @Test
    fun `a model without a check says so`() {
        val model = Parity.open().model("foreign")
        EffNetLite.create(model.bytes(), engines = DesktopEngines()).use {
            val error = assertThrows(ModelException::class.java) { it.replayGolden() }
            assertEquals(
                "the model carries no golden check; convert it with effnet-lite", error.message,
            )
        }
    }

    @Test
    fun `the grid is enlarged by integer division`() {
        val grid = ByteArray(3 * 3 * 3) { it.toByte() }
        val check = GoldenCheck(4, 5, 3, grid, "uint8", ByteArray(1), 1.0, 1.0)
        val pixels = IntArray(20)
        check.pixels(pixels)
        // grid[y * 3 // 4][x * 3 // 5]: rows 0 0 1 2, columns 0 0 1 1 2.
        for ((y, row) in listOf(0, 0, 1, 2).withIndex()) {
            for ((x, column) in listOf(0, 0, 1, 1, 2).withIndex()) {
                val first = (row * 3 + column) * 3
                assertEquals(first shl 16 or (first + 1 shl 8) or first + 2, pixels[y * 5 + x])
            }
        }
    }

    @Test
    fun `differences count in steps of every type`() {
        fun compare(dtype: String, step: Double, expected: ByteArray, found: ByteBuffer): GoldenResult {
            val check = GoldenCheck(1, 1, 1, ByteArray(3), dtype, expected, step, 2.0)
            return check.compare(found, TensorType.ofName(dtype)!!)
        }
        fun bytes(vararg values: Int) = ByteArray(values.size) { values[it].toByte() }
        fun buffer(vararg values: Int) = ByteBuffer.wrap(bytes(*values))
        assertEquals(
            GoldenResult(true, 2.0, true),
            compare("uint8", 1.0, bytes(3, 200, 7), buffer(3, 198, 9)),
        )
        assertEquals(
            GoldenResult(false, 3.0, false),
            compare("int8", 1.0, bytes(-1, -3), buffer(-4, -3)),
        )
        fun floats(vararg values: Float) = ByteBuffer.allocate(4 * values.size)
            .order(ByteOrder.LITTLE_ENDIAN).apply { values.forEach { putFloat(it) } }
        val expected = floats(1f, 2f).array()
        assertEquals(GoldenResult(true, 2.0, true), compare("float32", 0.25, expected, floats(1f, 2.5f)))
        val broken = compare("float32", 0.25, expected, floats(Float.NaN, 2f))
        assertEquals(GoldenResult(false, Double.POSITIVE_INFINITY, false), broken)
    }

    @Test
    fun `another model's check is refused`() {
        val check = GoldenCheck(1, 1, 1, ByteArray(3), "uint8", ByteArray(2), 1.0, 1.0)
        val length = assertThrows(ModelException::class.java) {
            check.compare(ByteBuffer.allocate(3), TensorType.UINT8)
        }
        assertEquals(
            "the golden check expects 2 uint8 outputs, found 3 uint8; it belongs to another model",
            length.message,
        )
        assertThrows(ModelException::class.java) {
            check.compare(ByteBuffer.allocate(2), TensorType.INT8)
        }
    }

    @Test
    fun `a check that cannot be is refused`() {
        fun make(
            grid: Int = 3, size: Int = 1, dtype: String = "uint8", output: Int = 4,
            step: Double = 1.0, tolerance: Double = 1.0,
        ) = GoldenCheck(1, 1, size, ByteArray(grid), dtype, ByteArray(output), step, tolerance)
        make()
        for (wrong in listOf(
            { make(grid = 4) }, { make(size = 65) }, { make(dtype = "int32") }, { make(output = 0) },
            { make(dtype = "float32", output = 6) }, { make(step = 0.0) }, { make(tolerance = -1.0) },
        )) {
            assertThrows(ModelException::class.java) { wrong() }
        }
    }

    /** Engines that see red and blue exchanged, for these delegates or for all. */
    private class Swapping(private val delegates: Set<Delegate>? = null) : EngineFactory {
        override fun open(model: ByteBuffer, delegate: Delegate, threads: Int): Engine {
            val inner = DesktopEngines().open(model, Delegate.Cpu, threads)
            if (delegates != null && delegate !in delegates) return inner
            return object : Engine by inner {
                override fun run(input: ByteBuffer, outputs: List<ByteBuffer>) {
                    val swapped = ByteBuffer.allocateDirect(input.capacity())
                    for (index in 0 until input.capacity()) {
                        swapped.put(index, input.get(index - index % 3 + 2 - index % 3))
                    }
                    inner.run(swapped, outputs)
                }
            }
        }
    }
}
