package org.effnetlite.demo.golden

import android.os.Bundle
import android.view.View
import android.view.ViewGroup
import android.widget.Button
import android.widget.TextView
import android.widget.Toolbar
import org.effnetlite.GoldenResult
import org.effnetlite.demo.R
import org.effnetlite.demo.RetainingActivity
import org.effnetlite.demo.Settings
import org.effnetlite.demo.title
import org.effnetlite.demo.views.showOrHide
import org.effnetlite.demo.views.view

/** Says of each delegate whether it computes what the model computed when it was made. */
class GoldenActivity : RetainingActivity<GoldenState, GoldenHolder>() {
    override fun createHolder(saved: Bundle?) =
        GoldenHolder(demo.models, Settings.of(intent.extras).threads)

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.activity_golden)
        setActionBar(view<Toolbar>(R.id.bar))
        actionBar?.setDisplayHomeAsUpEnabled(true)
        view<Button>(R.id.again).setOnClickListener { holder.again() }
    }

    override fun render(state: GoldenState) {
        view<Button>(R.id.again).apply {
            isEnabled = !state.running
            setText(if (state.running) R.string.golden_running else R.string.golden_start)
        }
        view<TextView>(R.id.golden_model).showOrHide(words(state.subject))
        val tolerance = (state.subject as? Subject.Model)?.tolerance ?: 0.0
        val rows = view<ViewGroup>(R.id.replays)
        val more = rows.childCount - state.replays.size
        if (more > 0) rows.removeViews(state.replays.size, more)
        while (rows.childCount < state.replays.size) layoutInflater.inflate(R.layout.replay, rows)
        state.replays.forEachIndexed { place, replay ->
            show(rows.getChildAt(place), replay, tolerance)
        }
    }

    private fun words(subject: Subject?): String? = when (subject) {
        null -> null
        Subject.NoModel -> getString(R.string.model_missing)
        is Subject.Broken -> subject.reason
        is Subject.NoCheck -> getString(R.string.golden_missing)
        is Subject.Model -> subject.name
    }

    private fun show(row: View, replay: Replay, tolerance: Double) {
        row.view<TextView>(R.id.replay_delegate).text = replay.delegate.title(resources)
        val verdict = row.view<TextView>(R.id.replay_verdict)
        val detail = row.view<TextView>(R.id.replay_detail)
        when (val found = replay.verdict) {
            is Verdict.Unavailable -> {
                verdict.setText(R.string.golden_unavailable)
                verdict.setTextColor(getColor(R.color.faint))
                detail.text = found.reason
            }
            is Verdict.Failed -> {
                verdict.setText(R.string.golden_failed)
                verdict.setTextColor(getColor(R.color.bad))
                detail.text = found.reason
            }
            is Verdict.Ran -> {
                val passed = found.result.passed
                verdict.setText(if (passed) R.string.golden_passed else R.string.golden_failed)
                verdict.setTextColor(getColor(if (passed) R.color.good else R.color.bad))
                detail.text = figures(found.result, tolerance)
            }
        }
    }

    private fun figures(result: GoldenResult, tolerance: Double): String {
        if (result.maxDifferenceSteps.isInfinite()) return getString(R.string.golden_no_number)
        val top1 =
            if (result.top1Matches) R.string.golden_top1_same else R.string.golden_top1_other
        return getString(R.string.golden_steps, result.maxDifferenceSteps, tolerance) + "\n" +
            getString(top1)
    }
}
