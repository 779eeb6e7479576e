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
import java.util.Random

/** Files that are no models, or damaged ones: one [ModelException] of one line, nothing else. */
@RunWith(DesktopRunner::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class CorruptModelTest {
    /** The message where reading fails, null where it does not; fails on any other exception. */
    private fun refusal(bytes: ByteArray): String? = try {
        describe(ModelFile(ByteBuffer.wrap(bytes)), Options(), null)
        null
    } catch (error: ModelException) {
        val message = error.message.orEmpty()
        assertTrue("'$message'", message.isNotBlank() && '\n' !in message && message.length < 500)
        message
    }

    @Test
    fun `what is no model says what was expected`() {
        val cases = mapOf(
            ByteArray(0) to "nothing", ByteArray(7) to "nothing",
            "<!DOCTYPE html>".toByteArray() to "'CTYP'", ByteArray(100) to "'????'",
        )
        for ((bytes, found) in cases) {
            assertEquals(
                "the model is no flatbuffer of the kind TFL3: expected that identifier at byte 4, " +
                    "found $found",
                refusal(bytes),
            )
        }
        val engines = DesktopEngines()
        assertThrows(ModelException::class.java) {
            EffNetLite.create(ByteBuffer.allocate(0), engines = engines)
        }
    }

    @Test
    fun `a file cut short anywhere is refused`() {
        val whole = Parity.open().model("other-labels").file.readBytes()
        val random = Random(0)
        val ends = (0..300) + List(300) { random.nextInt(whole.size) } +
            (whole.size - 300 until whole.size)
        // Cut where the label archive begins, or in its first header, the rest is a model without
        // labels: nothing tells that there were some.
        val archive = LabelArchiveTest.lastIndexOf(whole, "PK\u0003\u0004")
        val unnamed = archive until archive + 30 + "labels.txt".length
        for (end in ends) {
            val message = refusal(whole.copyOf(end))
            assertEquals("cut to $end of ${whole.size} bytes", end !in unnamed, message != null)
        }
        assertEquals(null, refusal(whole))
    }

    @Test
    fun `thousands of damaged files end in one line or in a description`() {
        val random = Random(1)
        var refused = 0
        var read = 0
        for (name in listOf("other-labels", "foreign")) {
            val whole = Parity.open().model(name).file.readBytes()
            val regions = regions(whole)
            repeat(2000) {
                val damaged = whole.copyOf()
                repeat(1 + random.nextInt(4)) {
                    val region = regions[random.nextInt(regions.size)]
                    val at = region.first + random.nextInt(region.last - region.first + 1)
                    damaged[at] = when (random.nextInt(3)) {
                        0 -> random.nextInt(256).toByte()
                        1 -> (damaged[at].toInt() xor (1 shl random.nextInt(8))).toByte()
                        else -> -1
                    }
                }
                if (refusal(damaged) == null) read++ else refused++
            }
        }
        println("damaged files: $refused refused, $read read")
        assertTrue("$refused refused, $read read", refused > 500 && read > 100)
    }

    @Test
    fun `offsets and lengths of 2 to 4 GB are refused`() {
        val whole = Parity.open().model("foreign").file.readBytes()
        val random = Random(2)
        val regions = regions(whole)
        val wild = intArrayOf(-1, Int.MIN_VALUE, Int.MAX_VALUE, -4, 0x7ffffff0, 0x10000000, 0)
        var refused = 0
        repeat(2000) {
            val region = regions[random.nextInt(regions.size)]
            val at = (region.first + random.nextInt(region.last - region.first - 3)) / 4 * 4
            val damaged = ByteBuffer.wrap(whole.copyOf()).order(ByteOrder.LITTLE_ENDIAN)
            damaged.putInt(at, wild[random.nextInt(wild.size)])
            if (refusal(damaged.array()) != null) refused++
        }
        println("wild offsets: $refused of 2000 refused")
        assertTrue("$refused refused", refused > 500)
    }

    @Test
    fun `a small file that claims much is refused before it takes memory`() {
        // A model whose 'buffers' all are the same table, a million times over.
        val count = 1_000_000
        val buffer = ByteBuffer.allocate(64 + 4 * count).order(ByteOrder.LITTLE_ENDIAN)
        buffer.putInt(0, 24).put(4, 'T'.code.toByte()).put(5, 'F'.code.toByte())
        buffer.put(6, 'L'.code.toByte()).put(7, '3'.code.toByte())
        // At 8 the vtable of the model: 14 bytes, version at 4, buffers at 8.
        buffer.putShort(8, 14).putShort(10, 12).putShort(12, 4).putShort(20, 8)
        buffer.putInt(24, 16).putInt(28, 3).putInt(32, 24)
        // At 40 an empty table and its vtable; at 56 the vector.
        buffer.putShort(48, 4).putShort(50, 4).putInt(40, -8)
        buffer.putInt(56, count)
        for (index in 0 until count) {
            val at = 60 + 4 * index
            buffer.putInt(at, 40 - at)
        }
        assertTrue(refusal(buffer.array()) != null)
        // The same forwards, where it is a legal offset.
        val forward = ByteBuffer.allocate(64 + 4 * count).order(ByteOrder.LITTLE_ENDIAN)
        forward.put(buffer.array(), 0, 32)
        forward.clear()
        forward.putInt(32, 8).putInt(40, count - 10)
        val table = 64 + 4 * count - 8
        forward.putInt(table, 4).putShort(table - 4, 4).putShort(table - 2, 4)
        for (index in 0 until count - 10) {
            val at = 44 + 4 * index
            forward.putInt(at, table - at)
        }
        assertEquals(
            "the model is damaged: it claims more content than a model has", refusal(forward.array()),
        )
    }

    @Test
    fun `a damaged label archive is named`() {
        val whole = Parity.open().model("other-labels").file.readBytes()
        val start = LabelArchiveTest.lastIndexOf(whole, "PK\u0003\u0004")
        val content = whole.copyOf().also { it[start + 30 + "labels.txt".length + 2]++ }
        val advice = "; copy, download or convert it again"
        assertEquals(
            "'labels.txt' behind the model cannot be read: damaged zip archive$advice",
            refusal(content),
        )
        val lost = whole.copyOf(whole.size - 5)
        assertEquals(
            "the label archive behind the model is cut short: 'labels.txt' is lost$advice",
            refusal(lost),
        )
    }

    @Test
    fun `a model that TFLite refuses is one line too`() {
        // The checks of the library pass; the kernel's do not: a convolution's filter is a bias.
        val whole = Parity.open().model("foreign").bytes()
        val engines = EngineFactory { model, delegate, threads ->
            val broken = ByteBuffer.allocateDirect(model.capacity()).order(ByteOrder.nativeOrder())
            broken.putInt(0, 8)
            DesktopEngines().open(broken, delegate, threads)
        }
        val error = assertThrows(ModelException::class.java) {
            EffNetLite.create(whole, engines = engines)
        }
        assertEquals("no delegate runs the model: cpu: TFLite refuses the model", error.message)
    }

    private companion object {
        /** Where a file has structure, not weights: its first bytes and its end. */
        fun regions(bytes: ByteArray): List<IntRange> {
            assertFalse(bytes.isEmpty())
            return listOf(0..1999, bytes.size - 120_000..bytes.size - 1, bytes.size - 4000..bytes.size - 1)
        }
    }
}
