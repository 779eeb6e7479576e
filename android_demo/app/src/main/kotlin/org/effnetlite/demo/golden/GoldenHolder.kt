package org.effnetlite.demo.golden

import org.effnetlite.Delegate
import org.effnetlite.GoldenResult
import org.effnetlite.demo.Models
import org.effnetlite.demo.ModelWorker
import org.effnetlite.demo.Settings
import org.effnetlite.demo.StateHolder

/**
 * All that the self-test screen shows.
 *
 * @property subject What is tested; null before it is known.
 * @property replays One for each delegate so far, in the order of [Settings.DELEGATES].
 * @property running Whether there are more to come.
 */
data class GoldenState(
    val subject: Subject? = null,
    val replays: List<Replay> = emptyList(),
    val running: Boolean = true,
)

/** What a self-test is about. */
sealed interface Subject {
    /** The app has no model. */
    data object NoModel : Subject

    /** The model cannot be used at all. */
    data class Broken(val reason: String) : Subject

    /** The model carries no check. */
    data class NoCheck(val name: String) : Subject

    /** @property tolerance In steps. */
    data class Model(val name: String, val tolerance: Double) : Subject
}

/** What came of the check on one delegate. */
data class Replay(val delegate: Delegate, val verdict: Verdict)

/** How a check ended. */
sealed interface Verdict {
    /** It ran. */
    data class Ran(val result: GoldenResult) : Verdict

    /** The delegate does not load or does not take the model. */
    data class Unavailable(val reason: String) : Verdict

    /** It ended with an error. */
    data class Failed(val reason: String) : Verdict
}

/**
 * The self-test's state: replays the model's golden check on one delegate after the other.
 *
 * @param threads CPU threads.
 */
class GoldenHolder(
    models: Models,
    private val threads: Int,
) : StateHolder<GoldenState>(GoldenState()) {
    private val worker = ModelWorker(models)

    init {
        test(Settings.DELEGATES)
    }

    /** Tests once more, unless it does so now. */
    fun again() {
        if (state.running) return
        update { GoldenState() }
        test(Settings.DELEGATES)
    }

    override fun close() = worker.close()

    private fun test(delegates: List<Delegate>) {
        val delegate = delegates.firstOrNull() ?: return update { copy(running = false) }
        val rest = delegates.drop(1)
        worker.load(Settings(delegate, threads)) { loaded ->
            loaded.fold({ tested(delegate, it, rest) }, { end(Subject.Broken(words(it))) })
        }
    }

    private fun tested(delegate: Delegate, loaded: ModelWorker.Loaded?, rest: List<Delegate>) {
        val check = loaded?.model?.description?.golden
        when {
            loaded == null -> end(Subject.NoModel)
            check == null -> end(Subject.NoCheck(loaded.name))
            else -> {
                update { copy(subject = Subject.Model(loaded.name, check.tolerance)) }
                worker.ask({ result: Result<Verdict> ->
                    val verdict = result.getOrElse { Verdict.Failed(words(it)) }
                    update { copy(replays = replays + Replay(delegate, verdict)) }
                    test(rest)
                }) { model ->
                    val result = model.replayGolden()
                    // Asked afterwards: a delegate may fail as late as while it runs.
                    val refusal = model.delegate.refused.firstOrNull { it.delegate == delegate }
                    refusal?.let { Verdict.Unavailable(it.reason) } ?: Verdict.Ran(result)
                }
            }
        }
    }

    private fun end(subject: Subject) = update { copy(subject = subject, running = false) }

    private fun words(failure: Throwable) = failure.message ?: failure.javaClass.simpleName
}
