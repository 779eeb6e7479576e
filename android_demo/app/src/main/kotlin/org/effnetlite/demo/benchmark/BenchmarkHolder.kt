package org.effnetlite.demo.benchmark

import android.content.Context
import java.io.File
import java.io.IOException
import java.text.SimpleDateFormat
import java.util.Date
import java.util.Locale
import java.util.concurrent.CancellationException
import org.effnetlite.EffNetLite
import org.effnetlite.demo.Models
import org.effnetlite.demo.ModelWorker
import org.effnetlite.demo.Settings
import org.effnetlite.demo.StateHolder

/**
 * All that the benchmark screen shows.
 *
 * @property step Of the measurement that runs; null if none does.
 * @property outcome Of the last one.
 */
data class BenchmarkState(
    val settings: Settings,
    val step: Step? = null,
    val outcome: Outcome? = null,
)

/** How a measurement ended. */
sealed interface Outcome {
    /** The app has no model. */
    data object NoModel : Outcome

    /** The user stopped it. */
    data object Stopped : Outcome

    /** Nothing was measured. */
    data class Failed(val reason: String) : Outcome

    /**
     * @property refused Delegates that were asked for and not used, a line each.
     * @property text The JSON document.
     * @property file Where it was written; null if it was not.
     * @property problem Why not.
     */
    data class Measured(
        val record: Measurement,
        val refused: List<String>,
        val text: String,
        val file: File?,
        val problem: String?,
    ) : Outcome
}

/**
 * The benchmark screen's state: measures on its own thread, while the screen may be turned.
 *
 * @param context Of the application.
 */
class BenchmarkHolder(
    private val context: Context,
    models: Models,
    settings: Settings,
    private val protocol: Protocol = Protocol(),
) : StateHolder<BenchmarkState>(BenchmarkState(settings)) {
    private val worker = ModelWorker(models)

    @Volatile
    private var stopped = false

    @Volatile
    private var hidden = false

    /** Uses other settings for the next measurement. */
    fun choose(settings: Settings) = update { copy(settings = settings) }

    /** Begins to measure, unless it does already. */
    fun start() {
        if (state.step != null) return
        stopped = false
        hidden = false
        val settings = state.settings
        update { copy(step = Step.Loading, outcome = null) }
        worker.load(settings) { loaded ->
            loaded.fold({ if (it == null) end(Outcome.NoModel) else run(it, settings) }, ::failed)
        }
    }

    /** Stops measuring after the run that is under way. */
    fun stop() {
        stopped = true
    }

    /** The app left the screen: times from now on are those of an app in the background. */
    fun hide() {
        hidden = true
    }

    override fun close() {
        stopped = true
        worker.close()
    }

    private fun run(loaded: ModelWorker.Loaded, settings: Settings) {
        worker.ask({ outcome: Result<Outcome> -> outcome.fold(::end, ::failed) }) { model ->
            val before = DeviceState.read(context)
            val times = measure(model, protocol, ::tell) { stopped }
            val after = DeviceState.read(context)
            write(loaded.name, record(loaded.name, model, settings, times, before, after), model)
        }
    }

    private fun tell(step: Step) = worker.tell { update { copy(step = step) } }

    private fun end(outcome: Outcome) = update { copy(step = null, outcome = outcome) }

    private fun failed(failure: Throwable) = end(
        if (failure is CancellationException) Outcome.Stopped
        else Outcome.Failed(failure.message ?: failure.javaClass.simpleName),
    )

    private fun record(
        name: String,
        model: EffNetLite,
        settings: Settings,
        times: Times,
        before: DeviceState,
        after: DeviceState,
    ): Measurement {
        val device = Device()
        val conditions = device.toJson()
            .put("app", app().let { (name, version) -> "$name $version" })
            .put("before", before.toJson())
            .put("after", after.toJson())
            .put("each_run", "after the preprocessing of its picture")
        return Measurement(
            model = name,
            modelSha256 = model.description.sha256,
            runtime = model.runtime.first,
            runtimeVersion = model.runtime.second,
            delegate = model.delegate.used.label,
            device = device.name,
            threads = settings.threads,
            warmup = protocol.warmup,
            times = times,
            initMs = model.loading.initNanos / 1e6,
            firstRunMs = model.loading.firstRunNanos / 1e6,
            peakRssMib = peakRssMib(),
            ops = model.description.operators,
            noise = noise(device, before, after, times.times, hidden),
            conditions = conditions,
        )
    }

    private fun write(name: String, record: Measurement, model: EffNetLite): Outcome {
        val refused = model.delegate.refused.map { "$name ${it.delegate.label}: ${it.reason}" }
        val text = document(record, refused, app()).toString(2)
        return try {
            Outcome.Measured(record, refused, text, write(text, record), null)
        } catch (failure: IOException) {
            Outcome.Measured(record, refused, text, null, failure.message.orEmpty())
        }
    }

    /** Whole or not at all, where `adb pull` reaches it and other apps do not. */
    private fun write(text: String, record: Measurement): File {
        val folder = context.getExternalFilesDir(FOLDER) ?: File(context.filesDir, FOLDER)
        val time = SimpleDateFormat("yyyyMMdd-HHmmss", Locale.ROOT).format(Date())
        val model = record.model.removeSuffix(".tflite")
            .filter { it.isLetterOrDigit() || it in "-_." }
        val file = File(folder, "$model-${record.delegate}-$time.json")
        val whole = File(folder, "${file.name}.part")
        folder.mkdirs()
        whole.writeText(text)
        if (!whole.renameTo(file)) throw IOException("cannot rename $whole to ${file.name}")
        return file
    }

    private fun app(): Pair<String, String> = Pair(
        context.packageName,
        context.packageManager.getPackageInfo(context.packageName, 0).versionName ?: "unknown",
    )

    private companion object {
        const val FOLDER = "benchmarks"
    }
}
