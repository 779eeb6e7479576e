package org.effnetlite.demo.views

import android.content.res.Resources
import android.view.View
import android.widget.TextView
import java.text.NumberFormat
import org.effnetlite.DelegateReport
import org.effnetlite.demo.R
import org.effnetlite.demo.title

/** A figure of layout/figure.xml. */
fun View.showFigure(name: Int, value: String?) {
    view<TextView>(R.id.figure_name).setText(name)
    view<TextView>(R.id.figure_value).text = value ?: resources.getString(R.string.no_time)
}

/** Shows a text, and nothing where there is none. */
fun TextView.showOrHide(text: CharSequence?) {
    this.text = text
    visibility = if (text.isNullOrEmpty()) View.GONE else View.VISIBLE
}

/** A time for people. */
fun Resources.milliseconds(ms: Double): String = getString(R.string.milliseconds, ms)

/** A time of `System.nanoTime` for people. */
fun Resources.milliseconds(nanos: Long): String = milliseconds(nanos / 1e6)

/** A probability for people: `12.3%`. */
fun percent(score: Float): String =
    NumberFormat.getPercentInstance().apply { minimumFractionDigits = 1; maximumFractionDigits = 1 }
        .format(score.toDouble())

/** Which delegates were tried and not used, and why; a line each. */
fun Resources.refusals(report: DelegateReport): String = report.refused.joinToString("\n") {
    getString(R.string.refused, it.delegate.title(this), it.reason)
}

/** What is known, with a sign between. */
fun Resources.joined(vararg facts: String?): String =
    facts.filterNot { it.isNullOrEmpty() }.joinToString(getString(R.string.separator))
