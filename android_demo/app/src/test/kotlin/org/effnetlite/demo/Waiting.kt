package org.effnetlite.demo

import android.os.Looper
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit
import org.effnetlite.Delegate
import org.effnetlite.Engine
import org.effnetlite.EngineFactory
import org.effnetlite.testing.DesktopEngines
import org.junit.Assert.assertTrue
import org.robolectric.Shadows.shadowOf
import java.nio.ByteBuffer

/** Long enough on any machine; only a test that fails waits for it. */
private const val SECONDS = 30L

/** Lets the main thread do its work until something is so. */
fun await(what: String, so: () -> Boolean) {
    val end = System.nanoTime() + TimeUnit.SECONDS.toNanos(SECONDS)
    while (true) {
        shadowOf(Looper.getMainLooper()).idle()
        if (so()) return
        assertTrue("waited $SECONDS s for: $what", System.nanoTime() < end)
        Thread.sleep(2)
    }
}

/** Lets the main thread do what it has to do. */
fun idle() = shadowOf(Looper.getMainLooper()).idle()

/** The background threads of screens that are alive. */
fun modelThreads(): List<Thread> =
    Thread.getAllStackTraces().keys.filter { it.name == ModelWorker.THREAD && it.isAlive }

/** Engines that hold a run until the test lets it go, and count what is open. */
class HeldEngines(private val inner: EngineFactory = DesktopEngines()) : EngineFactory {
    @Volatile
    private var gate: CountDownLatch? = null

    @Volatile
    private var arrived = CountDownLatch(1)

    /** Engines opened and not closed. */
    @Volatile
    var open = 0
        private set

    /** From now on runs wait. */
    fun hold() {
        arrived = CountDownLatch(1)
        gate = CountDownLatch(1)
    }

    /** Waits until a run waits. */
    fun awaitRun() = await("a run waits") { arrived.count == 0L }

    /** Lets runs go. */
    fun release() {
        gate?.countDown()
        gate = null
    }

    override fun open(model: ByteBuffer, delegate: Delegate, threads: Int): Engine {
        val engine = inner.open(model, delegate, threads)
        open++
        return object : Engine by engine {
            override fun run(input: ByteBuffer, outputs: List<ByteBuffer>) {
                gate?.let {
                    arrived.countDown()
                    it.await(SECONDS, TimeUnit.SECONDS)
                }
                engine.run(input, outputs)
            }

            override fun close() {
                engine.close()
                open--
            }
        }
    }
}
