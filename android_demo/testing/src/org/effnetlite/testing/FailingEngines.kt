package org.effnetlite.testing

import org.effnetlite.Delegate
import org.effnetlite.DelegateException
import org.effnetlite.Engine
import org.effnetlite.EngineFactory
import java.nio.ByteBuffer

/**
 * Engines that fail where a test wants it, and count what is open.
 *
 * Every delegate that does not fail is run by [inner] as [Delegate.Cpu].
 *
 * @property atLoad Delegates that do not load, with their reason.
 * @property atRun Delegates that fail at a run, counted from 0, with the number of that run.
 */
class FailingEngines(
    private val inner: EngineFactory = DesktopEngines(),
    private val atLoad: Map<Delegate, String> = emptyMap(),
    private val atRun: Map<Delegate, Int> = emptyMap(),
) : EngineFactory {
    /** Engines opened and not closed. */
    @Volatile
    var open = 0
        private set

    /** Runs in all. */
    @Volatile
    var runs = 0
        private set

    /** Names of the threads that opened, ran or closed engines. */
    val threads: MutableSet<String> = java.util.concurrent.ConcurrentHashMap.newKeySet()

    /** Called before each run, on the engine's thread. */
    @Volatile
    var beforeRun: () -> Unit = {}

    override fun open(model: ByteBuffer, delegate: Delegate, threads: Int): Engine {
        atLoad[delegate]?.let { throw DelegateException(it) }
        val engine = Counted(inner.open(model, Delegate.Cpu, threads), atRun[delegate])
        open++
        note()
        return engine
    }

    private fun note() {
        threads += Thread.currentThread().name
    }

    private inner class Counted(private val engine: Engine, private val failing: Int?) :
        Engine by engine {
        private var run = 0

        override fun run(input: ByteBuffer, outputs: List<ByteBuffer>) {
            note()
            beforeRun()
            runs++
            if (failing != null && run++ >= failing) throw DelegateException("run ${run - 1} fails")
            engine.run(input, outputs)
        }

        override fun close() {
            note()
            open--
            engine.close()
        }
    }
}
