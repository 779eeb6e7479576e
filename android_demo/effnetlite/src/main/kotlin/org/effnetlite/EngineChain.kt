package org.effnetlite

import java.nio.ByteBuffer

/**
 * One delegate after the other until one runs the model, and why the others do not.
 *
 * A delegate is out when it does not load, does not take the model, fails at its first run or at a
 * later one, or does not pass [accept]. Used by one thread, but for [report].
 *
 * @param model As an [EngineFactory] takes it.
 * @param expected The model's input and outputs, by the file.
 * @param buffers Its input, zeros or any picture, and its outputs.
 * @param accept Throws a [DelegateException] for an engine that runs but is not good enough.
 * @throws ModelException None runs it.
 */
internal class EngineChain(
    private val factory: EngineFactory,
    private val model: ByteBuffer,
    private val options: Options,
    private val expected: List<TensorInfo>,
    private val buffers: Buffers,
    private val accept: (run: () -> Unit) -> Unit,
) : AutoCloseable {
    /** Of the tensors, allocated once for all engines. */
    class Buffers(val input: ByteBuffer, val outputs: List<ByteBuffer>)

    private val left = ArrayDeque((options.delegates + Delegate.Cpu).distinct())
    private val refused = mutableListOf<Refusal>()
    private var engine: Engine? = null

    /** The delegate in use and those before it. */
    @Volatile
    lateinit var report: DelegateReport
        private set

    @Volatile
    lateinit var loading: LoadTimes
        private set

    /** The runtime's name and version. */
    @Volatile
    lateinit var runtime: Pair<String, String>
        private set

    init {
        openNext()
    }

    /** Runs the model on the input buffer, by another delegate where the one in use fails. */
    fun run() {
        while (true) {
            val current = engine ?: throw none()
            try {
                current.run(buffers.input, buffers.outputs)
                return
            } catch (failure: DelegateException) {
                engine = null
                current.close()
                refused += Refusal(report.used, "failed while running: ${failure.oneLine()}")
                // What the caller put into the input buffer must survive the next one's test run.
                val input = copyOf(buffers.input)
                openNext()
                buffers.input.restart()
                buffers.input.put(input)
            }
        }
    }

    override fun close() {
        engine?.close()
        engine = null
        left.clear()
    }

    private fun openNext() {
        while (left.isNotEmpty()) {
            val delegate = left.removeFirst()
            try {
                open(delegate)
                return
            } catch (failure: DelegateException) {
                refused += Refusal(delegate, failure.oneLine())
            }
        }
        throw none()
    }

    private fun open(delegate: Delegate) {
        val start = System.nanoTime()
        val opened = factory.open(model, delegate, options.usableThreads)
        try {
            checkTensors(opened)
            val ready = System.nanoTime()
            opened.run(buffers.input, buffers.outputs)
            val done = System.nanoTime()
            accept { opened.run(buffers.input, buffers.outputs) }
            loading = LoadTimes(ready - start, done - ready)
        } catch (failure: Throwable) {
            opened.close()
            throw failure
        }
        runtime = Pair(opened.runtime, opened.runtimeVersion)
        report = DelegateReport(delegate, refused.toList())
        engine = opened
    }

    private fun checkTensors(opened: Engine) {
        val found = (opened.inputs + opened.outputs).map { Pair(it.shape, it.type) }
        val wanted = expected.map { Pair(it.shape, it.type) }
        if (found != wanted) {
            throw DelegateException("gives the model other tensors: $found instead of $wanted")
        }
    }

    private fun none(): ModelException {
        val reasons = refused.joinToString("; ") { "${it.delegate.label}: ${it.reason}" }
        return ModelException("no delegate runs the model: $reasons")
    }

    private fun copyOf(buffer: ByteBuffer): ByteArray {
        val view = buffer.duplicate()
        view.restart()
        return ByteArray(view.remaining()).also { view.get(it) }
    }
}
