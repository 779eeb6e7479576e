package org.effnetlite

import android.graphics.Color
import org.effnetlite.testing.DesktopRunner
import org.effnetlite.testing.FailingEngines
import org.effnetlite.testing.Parity
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.annotation.GraphicsMode
import java.util.concurrent.ConcurrentLinkedQueue
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit
import java.util.concurrent.atomic.AtomicReference
import kotlin.concurrent.thread

/** One thread owns the interpreter; closing at any time. */
@RunWith(DesktopRunner::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class LifecycleTest {
    private val model by lazy { Parity.open().model("other-labels") }
    private val red by lazy { plain(80, 60, Color.RED) }

    @Test
    fun `two threads that classify get their own answers`() {
        val engines = FailingEngines()
        EffNetLite.create(model.bytes(), engines = engines).use { classifier ->
            val pictures = List(4) { plain(60 + it, 70, Color.rgb(60 * it, 255 - 60 * it, 99)) }
            val expected = pictures.map { classifier.classify(it) }
            val wrong = ConcurrentLinkedQueue<String>()
            List(4) { number ->
                thread {
                    repeat(50) {
                        val which = (number + it) % pictures.size
                        val found = classifier.classify(pictures[which])
                        if (found != expected[which]) wrong += "$which: $found"
                    }
                }
            }.forEach { it.join() }
            assertEquals(emptyList<String>(), wrong.toList())
        }
        assertEquals(setOf("effnetlite"), engines.threads)
    }

    @Test
    fun `closing waits for the inference that runs`() {
        val engines = FailingEngines()
        val classifier = EffNetLite.create(model.bytes(), engines = engines)
        val running = CountDownLatch(1)
        val go = CountDownLatch(1)
        engines.beforeRun = {
            running.countDown()
            go.await(10, TimeUnit.SECONDS)
        }
        val answer = AtomicReference<List<Category>>()
        val caller = thread { answer.set(classifier.classify(red)) }
        assertTrue(running.await(10, TimeUnit.SECONDS))
        val closed = CountDownLatch(1)
        val closer = thread {
            classifier.close()
            closed.countDown()
        }
        // It cannot have closed: the inference is held up.
        assertFalse(closed.await(200, TimeUnit.MILLISECONDS))
        assertEquals(1, engines.open)
        go.countDown()
        caller.join()
        closer.join()
        assertEquals(3, answer.get().size)
        assertEquals(0, engines.open)
        assertEquals(0L, closed.count)
    }

    @Test
    fun `after closing every call says so`() {
        val classifier = EffNetLite.create(model.bytes(), engines = FailingEngines())
        classifier.close()
        val calls = listOf<() -> Unit>(
            { classifier.classify(red) }, { classifier.run(red) }, { classifier.replayGolden() },
        )
        for (call in calls) {
            val error = assertThrows(IllegalStateException::class.java) { call() }
            assertEquals("this EffNetLite is closed; create another", error.message)
        }
        assertEquals(3, classifier.description.classes) // what it was can still be asked
    }

    @Test
    fun `closing twice, and from two threads, does no harm`() {
        val engines = FailingEngines()
        val classifier = EffNetLite.create(model.bytes(), engines = engines)
        List(2) { thread { repeat(3) { classifier.close() } } }.forEach { it.join() }
        classifier.close()
        assertEquals(0, engines.open)
    }

    @Test
    fun `an interrupted caller gets its answer, and stays interrupted`() {
        EffNetLite.create(model.bytes(), engines = FailingEngines()).use { classifier ->
            val interrupted = AtomicReference<Boolean>()
            val answer = AtomicReference<List<Category>>()
            thread {
                Thread.currentThread().interrupt()
                answer.set(classifier.classify(red))
                interrupted.set(Thread.currentThread().isInterrupted)
            }.join()
            assertEquals(3, answer.get().size)
            assertTrue(interrupted.get())
        }
    }

    @Test
    fun `what a task throws reaches the caller, and the next call works`() {
        EffNetLite.create(model.bytes(), engines = FailingEngines()).use { classifier ->
            val gone = plain(9, 9, Color.RED).apply { recycle() }
            val error = assertThrows(IllegalArgumentException::class.java) { classifier.classify(gone) }
            assertEquals("the bitmap is recycled; classify it before", error.message)
            assertThrows(IllegalArgumentException::class.java) { classifier.classify(red, 45) }
            assertThrows(IllegalArgumentException::class.java) { classifier.run(red, mapClass = 3) }
            assertEquals(3, classifier.classify(red).size)
        }
    }

    @Test
    fun `times and what was loaded are told`() {
        EffNetLite.create(model.bytes(), Options(topK = 2), FailingEngines()).use {
            val result = it.run(red, 90)
            assertEquals(2, result.categories.size)
            assertTrue(result.preprocessNanos > 0 && result.inferenceNanos > 0)
            assertTrue(it.loading.initNanos > 0 && it.loading.firstRunNanos > 0)
            assertEquals(Crop(4, 14, 52), result.crop) // of 60 x 80 upright pixels
            assertEquals("tensorflow-lite", it.runtime.first)
            assertTrue(it.runtime.second, it.runtime.second.startsWith("2."))
        }
    }
}
