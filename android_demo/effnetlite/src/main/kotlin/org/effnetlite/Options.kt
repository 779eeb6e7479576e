package org.effnetlite

/**
 * How a model is run.
 *
 * @property delegates Tried in this order; behind them [Delegate.Cpu], even where it is not named,
 *   so that a model that the CPU can run always runs. [EffNetLite.delegate] tells which it was.
 * @property threads CPU threads, 1 or more; never more than the device has cores.
 * @property topK How many categories a classification holds, 1 or more.
 * @property checkGolden Refuse a delegate on which the model fails its own golden check: it loads
 *   and runs, but computes something else.
 * @property labels Names of the outputs, one each, in place of the model's own.
 * @property normalization In place of the model's own; needed only for a float model that carries
 *   neither our record nor TFLite Metadata.
 * @throws IllegalArgumentException No delegate, or a number below 1.
 */
data class Options(
    val delegates: List<Delegate> = listOf(Delegate.Cpu),
    val threads: Int = 4,
    val topK: Int = 5,
    val checkGolden: Boolean = false,
    val labels: List<String>? = null,
    val normalization: Normalization? = null,
) {
    init {
        require(delegates.isNotEmpty()) { "expected at least one delegate, found none" }
        require(threads >= 1) { "threads must be at least 1, found $threads" }
        require(topK >= 1) { "topK must be at least 1, found $topK" }
    }

    /** [threads], but no more than this device has cores. */
    internal val usableThreads: Int
        get() = threads.coerceAtMost(Runtime.getRuntime().availableProcessors())
}

/** What computes a model's operators. */
sealed interface Delegate {
    /** As `effnet-lite benchmark` names it in its records. */
    val label: String

    /** XNNPACK on the CPU: what is fastest there, for float and 8-bit models alike. */
    data object Cpu : Delegate {
        override val label = "cpu"
    }

    /** TFLite's built-in kernels, without XNNPACK: slow, to compare with. */
    data object CpuBuiltin : Delegate {
        override val label = "none"
    }

    /** OpenCL or OpenGL ES; computes in 16-bit floats, 8-bit models too. */
    data object Gpu : Delegate {
        override val label = "gpu"
    }

    /** Android's Neural Networks API, from Android 8.1; deprecated since Android 15. */
    data object Nnapi : Delegate {
        override val label = "nnapi"
    }

    /**
     * A vendor's delegate. TFLite's Java classes cannot load one by themselves: see
     * [TfliteEngines].
     *
     * @property library Its name, e.g. `libedgetpu.so`.
     * @property options Handed to it as they are.
     */
    data class External(
        val library: String,
        val options: Map<String, String> = emptyMap(),
    ) : Delegate {
        override val label get() = library.substringAfterLast('/')
    }
}

/** A delegate that was tried and not used, and why, in one line. */
data class Refusal(val delegate: Delegate, val reason: String)

/** The delegate in use, and those tried before it, in order. */
data class DelegateReport(val used: Delegate, val refused: List<Refusal>)
