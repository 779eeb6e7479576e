package org.effnetlite.demo.views

import android.app.Activity
import android.view.View
import android.widget.AdapterView
import android.widget.ArrayAdapter
import android.widget.Spinner
import org.effnetlite.demo.R
import org.effnetlite.demo.Settings
import org.effnetlite.demo.title

/**
 * Delegate and threads as two lists (layout/choices.xml).
 *
 * @param chosen Called with the settings that the user chose, never with those of [show].
 */
class Choices(activity: Activity, private val chosen: (Settings) -> Unit) {
    private val delegates: Spinner = activity.view(R.id.delegate)
    private val threads: Spinner = activity.view(R.id.threads)
    private var shown = Settings()

    init {
        val titles = Settings.DELEGATES.map { it.title(activity.resources) }
        fill(activity, delegates, titles) { shown.copy(delegate = Settings.DELEGATES[it]) }
        fill(activity, threads, Settings.THREADS.map { "%d".format(it) }) {
            shown.copy(threads = Settings.THREADS[it])
        }
    }

    /** Shows what is chosen. */
    fun show(settings: Settings, enabled: Boolean = true) {
        shown = settings
        select(delegates, Settings.DELEGATES.indexOf(settings.delegate))
        select(threads, Settings.THREADS.indexOf(settings.threads))
        delegates.isEnabled = enabled
        threads.isEnabled = enabled
    }

    private fun fill(
        activity: Activity,
        spinner: Spinner,
        titles: List<String>,
        choice: (Int) -> Settings,
    ) {
        val adapter = ArrayAdapter(activity, android.R.layout.simple_spinner_item, titles)
        adapter.setDropDownViewResource(android.R.layout.simple_spinner_dropdown_item)
        spinner.adapter = adapter
        spinner.onItemSelectedListener = object : AdapterView.OnItemSelectedListener {
            override fun onItemSelected(parent: AdapterView<*>, row: View?, place: Int, id: Long) {
                // A spinner also calls when the program selects.
                val settings = choice(place)
                if (settings != shown) chosen(settings)
            }

            override fun onNothingSelected(parent: AdapterView<*>) = Unit
        }
    }

    private fun select(spinner: Spinner, place: Int) {
        if (spinner.selectedItemPosition != place) spinner.setSelection(place)
    }
}
