package org.effnetlite.demo.benchmark

import android.content.Intent
import android.os.Bundle
import android.view.View
import android.widget.Button
import android.widget.ProgressBar
import android.widget.TextView
import android.widget.Toolbar
import kotlin.math.roundToInt
import org.effnetlite.demo.R
import org.effnetlite.demo.RetainingActivity
import org.effnetlite.demo.Settings
import org.effnetlite.demo.views.Choices
import org.effnetlite.demo.views.joined
import org.effnetlite.demo.views.milliseconds
import org.effnetlite.demo.views.showFigure
import org.effnetlite.demo.views.showOrHide
import org.effnetlite.demo.views.view

/** Times the model and shares the record. */
class BenchmarkActivity : RetainingActivity<BenchmarkState, BenchmarkHolder>() {
    private lateinit var choices: Choices

    override fun createHolder(saved: Bundle?): BenchmarkHolder {
        val settings = Settings.of(saved ?: intent.extras)
        return BenchmarkHolder(applicationContext, demo.models, settings, demo.protocol)
    }

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.activity_benchmark)
        setActionBar(view<Toolbar>(R.id.bar))
        actionBar?.setDisplayHomeAsUpEnabled(true)
        choices = Choices(this) { holder.choose(it) }
        val seconds = demo.protocol.seconds.roundToInt()
        view<TextView>(R.id.about).text = getString(
            R.string.benchmark_text, demo.protocol.warmup, demo.protocol.runs,
            resources.getQuantityString(R.plurals.seconds, seconds, seconds),
        )
        view<Button>(R.id.start).setOnClickListener {
            if (holder.state.step == null) holder.start() else holder.stop()
        }
        view<Button>(R.id.share).setOnClickListener { share() }
    }

    override fun onStop() {
        if (!isChangingConfigurations) holder.hide()
        super.onStop()
    }

    override fun onSaveInstanceState(outState: Bundle) {
        super.onSaveInstanceState(outState)
        holder.state.settings.writeTo(outState)
    }

    override fun render(state: BenchmarkState) {
        val step = state.step
        choices.show(state.settings, enabled = step == null)
        view<Button>(R.id.start).setText(
            if (step == null) R.string.benchmark_start else R.string.benchmark_stop,
        )
        view<ProgressBar>(R.id.progress).apply {
            visibility = if (step == null) View.INVISIBLE else View.VISIBLE
            progress = (step as? Step.Timing)?.let { (max * it.share).roundToInt() } ?: 0
        }
        // A screen that goes dark puts the processor to sleep, too.
        view<View>(R.id.root).keepScreenOn = step != null
        view<TextView>(R.id.status).showOrHide(step?.let(::words) ?: words(state.outcome))
        showRecord(state.outcome as? Outcome.Measured)
    }

    private fun words(step: Step): String = when (step) {
        Step.Loading -> getString(R.string.benchmark_loading)
        Step.WarmingUp -> getString(R.string.benchmark_warming)
        is Step.Timing ->
            resources.getQuantityString(R.plurals.benchmark_timing, step.runs, step.runs)
    }

    private fun words(outcome: Outcome?): String? = when (outcome) {
        null -> null
        Outcome.NoModel -> getString(R.string.model_missing)
        Outcome.Stopped -> getString(R.string.benchmark_stopped)
        is Outcome.Failed -> getString(R.string.benchmark_failed, outcome.reason)
        is Outcome.Measured -> outcome.refused.joinToString("\n")
    }

    private fun showRecord(measured: Outcome.Measured?) {
        view<View>(R.id.record).visibility =
            if (measured == null) View.GONE else View.VISIBLE
        val record = measured?.record ?: return
        val runs = record.times.times.size
        view<TextView>(R.id.record_title).text = resources.joined(
            record.model, record.delegate,
            resources.getQuantityString(R.plurals.threads, record.threads, record.threads),
            resources.getQuantityString(R.plurals.benchmark_runs, runs, runs),
        )
        view<TextView>(R.id.record_device).text = record.device
        fun figure(id: Int, name: Int, ms: Double) =
            view<View>(id).showFigure(name, resources.milliseconds(ms))
        figure(R.id.p50, R.string.benchmark_p50, record.p50Ms)
        figure(R.id.p90, R.string.benchmark_p90, record.p90Ms)
        figure(R.id.p99, R.string.benchmark_p99, record.p99Ms)
        figure(R.id.first, R.string.benchmark_first, record.firstRunMs)
        figure(R.id.init, R.string.benchmark_init, record.initMs)
        figure(R.id.preprocess, R.string.benchmark_preprocess, record.preprocessMs)
        view<TextView>(R.id.noise).showOrHide(
            record.noise.joinToString("\n") { getString(R.string.benchmark_noise, it) },
        )
        view<TextView>(R.id.written).text = measured.file
            ?.let { getString(R.string.benchmark_written, it.path) }
            ?: getString(R.string.benchmark_not_written, measured.problem)
    }

    private fun share() {
        val measured = holder.state.outcome as? Outcome.Measured ?: return
        val title = getString(R.string.benchmark_share_title, measured.record.model)
        val intent = Intent(Intent.ACTION_SEND)
            .setType("text/plain")
            .putExtra(Intent.EXTRA_SUBJECT, title)
            .putExtra(Intent.EXTRA_TEXT, measured.text)
        startActivity(Intent.createChooser(intent, title))
    }
}
