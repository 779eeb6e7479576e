package org.effnetlite.demo.classify

import android.app.Activity
import android.text.format.Formatter
import android.view.TextureView
import android.view.View
import android.view.ViewGroup
import android.widget.Button
import android.widget.ImageView
import android.widget.ProgressBar
import android.widget.Switch
import android.widget.TextView
import kotlin.math.roundToInt
import org.effnetlite.Category
import org.effnetlite.demo.R
import org.effnetlite.demo.Settings
import org.effnetlite.demo.camera.CameraState
import org.effnetlite.demo.title
import org.effnetlite.demo.views.Choices
import org.effnetlite.demo.views.OverlayView
import org.effnetlite.demo.views.PictureFrame
import org.effnetlite.demo.views.joined
import org.effnetlite.demo.views.milliseconds
import org.effnetlite.demo.views.percent
import org.effnetlite.demo.views.refusals
import org.effnetlite.demo.views.showFigure
import org.effnetlite.demo.views.showOrHide
import org.effnetlite.demo.views.view

/** The views of the main screen: shows states, and says what the user does. */
internal class MainScreen(private val activity: Activity, private val actions: Actions) {
    /** What the user can do. */
    interface Actions {
        fun pickPhoto()

        fun liveCamera()

        fun askForCamera()

        fun openSettings()

        fun tryAgain()

        fun choose(settings: Settings)
    }

    /** Where the camera's preview appears. */
    val preview: TextureView = view(R.id.preview)

    private val resources = activity.resources
    private val notice = MainNotice(activity, actions)
    private val picture: PictureFrame = view(R.id.picture)
    private val photo: ImageView = view(R.id.photo)
    private val overlay: OverlayView = view(R.id.overlay)
    private val categories: ViewGroup = view(R.id.categories)
    private val mapSwitch: Switch = view(R.id.map)
    private val live: Button = view(R.id.live)
    private val choices = Choices(activity) { actions.choose(it) }
    private var settings = Settings()

    init {
        view<Button>(R.id.pick).setOnClickListener { actions.pickPhoto() }
        live.setOnClickListener { actions.liveCamera() }
        mapSwitch.setOnCheckedChangeListener { _, on ->
            if (on != settings.map) actions.choose(settings.copy(map = on))
        }
    }

    /** Shows a state. */
    fun show(state: MainState) {
        settings = state.settings
        notice.show(state)
        showPicture(state)
        showAnswer(state)
        showTimes(state)
        showSettings(state)
        showModel(state.model)
        view<TextView>(R.id.problem).showOrHide(problem(state.problem))
    }

    private fun showPicture(state: MainState) {
        val shown = state.photo?.takeIf { state.source == Source.PHOTO }
        val camera = state.camera as? CameraState.Open
        if (shown != null) {
            picture.setShape(shown.preview.width, shown.preview.height)
        } else if (camera != null) {
            picture.setShape(camera.width, camera.height)
        }
        // Not `gone`: a preview without room never gets its surface.
        preview.visibility = if (shown == null) View.VISIBLE else View.INVISIBLE
        photo.visibility = if (shown == null) View.GONE else View.VISIBLE
        photo.setImageBitmap(shown?.preview)
        photo.contentDescription = shown?.name
            ?.let { resources.getString(R.string.photo_named_description, it) }
            ?: resources.getString(R.string.photo_description)
        live.visibility = if (shown == null) View.GONE else View.VISIBLE
    }

    private fun showAnswer(state: MainState) {
        val answer = state.answer
        val map = answer?.map?.takeIf { state.settings.map }
        val mirrored = state.source == Source.CAMERA &&
            (state.camera as? CameraState.Open)?.mirrored == true
        overlay.show(answer?.width ?: 1, answer?.height ?: 1, answer?.crop, map, mirrored)
        val label = map?.let { shown ->
            answer.categories.firstOrNull { it.index == shown.classIndex }?.label
        }
        overlay.contentDescription =
            label?.let { resources.getString(R.string.map_description, it) }
        view<View>(R.id.legend).visibility = if (label == null) View.GONE else View.VISIBLE
        view<TextView>(R.id.legend_text).text =
            label?.let { resources.getString(R.string.map_legend, it) }
        showCategories(answer?.categories.orEmpty())
        view<View>(R.id.waiting).visibility = if (answer == null) View.VISIBLE else View.GONE
        // Read out once for a photo; a camera's answers would never come to an end.
        categories.accessibilityLiveRegion =
            if (state.source == Source.PHOTO) View.ACCESSIBILITY_LIVE_REGION_POLITE
            else View.ACCESSIBILITY_LIVE_REGION_NONE
    }

    private fun showCategories(found: List<Category>) {
        val more = categories.childCount - found.size
        if (more > 0) categories.removeViews(found.size, more)
        while (categories.childCount < found.size) {
            activity.layoutInflater.inflate(R.layout.category, categories)
        }
        found.forEachIndexed { place, category ->
            val row = categories.getChildAt(place)
            val score = percent(category.score)
            row.view<TextView>(R.id.category_label).text = category.label
            row.view<TextView>(R.id.category_score).text = score
            row.view<ProgressBar>(R.id.category_bar).progress =
                (1000 * category.score).roundToInt()
            row.contentDescription =
                resources.getString(R.string.category_description, category.label, score)
        }
    }

    private fun showTimes(state: MainState) {
        val answer = state.answer
        fun show(id: Int, name: Int, nanos: Long?) =
            view<View>(id).showFigure(name, nanos?.let { resources.milliseconds(it) })
        show(R.id.time_frame, R.string.time_frame, answer?.frameNanos)
        show(R.id.time_preprocess, R.string.time_preprocess, answer?.preprocessNanos)
        show(R.id.time_inference, R.string.time_inference, answer?.inferenceNanos)
        view<View>(R.id.time_frame).visibility =
            if (state.source == Source.CAMERA) View.VISIBLE else View.GONE
        val sampling = state.photo?.takeIf { state.source == Source.PHOTO }?.sampling ?: 1
        view<TextView>(R.id.sampled).showOrHide(
            if (sampling > 1) resources.getString(R.string.photo_sampled, sampling) else null,
        )
    }

    private fun showSettings(state: MainState) {
        val ready = state.model as? ModelState.Ready
        choices.show(state.settings)
        view<TextView>(R.id.runs_on).showOrHide(
            ready?.let {
                val name = it.delegate.used.title(resources)
                val threads = state.settings.threads
                resources.getQuantityString(R.plurals.runs_on_threads, threads, threads, name)
            },
        )
        view<TextView>(R.id.refused).showOrHide(ready?.let { resources.refusals(it.delegate) })
        val possible = ready?.description?.hasActivationMap == true
        mapSwitch.visibility = if (possible) View.VISIBLE else View.GONE
        mapSwitch.isChecked = state.settings.map
        view<View>(R.id.map_unavailable).visibility =
            if (ready == null || possible) View.GONE else View.VISIBLE
    }

    private fun showModel(model: ModelState) {
        // Without a model there is nothing to say beside the notice.
        val without = model is ModelState.Missing || model is ModelState.Broken
        view<View>(R.id.panel).visibility = if (without) View.GONE else View.VISIBLE
        val ready = model as? ModelState.Ready
        view<TextView>(R.id.model_name).showOrHide(ready?.name)
        view<TextView>(R.id.model_facts).showOrHide(
            ready?.description?.let {
                val classes =
                    resources.getQuantityString(R.plurals.model_classes, it.classes, it.classes)
                val (runtime, version) = ready.runtime
                resources.joined(
                    it.variant ?: it.name, it.precision,
                    resources.getString(R.string.model_input, it.size), classes,
                    Formatter.formatShortFileSize(activity, it.bytes.toLong()),
                ) + "\n" + resources.getString(R.string.model_runtime, runtime, version)
            },
        )
    }

    private fun problem(problem: Problem?): String? = when (problem) {
        null -> null
        Problem.UnreadablePhoto -> resources.getString(R.string.problem_unreadable)
        Problem.LargePhoto -> resources.getString(R.string.problem_large)
        Problem.NoPicker -> resources.getString(R.string.problem_no_picker)
        is Problem.NoAnswer -> resources.getString(R.string.problem_no_answer, problem.reason)
    }

    private fun <T : View> view(id: Int): T = activity.view(id)
}
