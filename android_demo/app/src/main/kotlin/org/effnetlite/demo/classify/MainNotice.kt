package org.effnetlite.demo.classify

import android.app.Activity
import android.view.View
import android.widget.Button
import android.widget.TextView
import org.effnetlite.demo.R
import org.effnetlite.demo.camera.CameraState
import org.effnetlite.demo.camera.Why
import org.effnetlite.demo.views.showOrHide
import org.effnetlite.demo.views.view

/** What stands where a picture would be: why there is none, and what to do. */
internal class MainNotice(activity: Activity, private val actions: MainScreen.Actions) {
    private val resources = activity.resources
    private val box: View = activity.view(R.id.notice)
    private val title: TextView = activity.view(R.id.notice_title)
    private val text: TextView = activity.view(R.id.notice_text)
    private val command: View = activity.view(R.id.notice_command)
    private val action: Button = activity.view(R.id.notice_action)
    private val pick: Button = activity.view(R.id.notice_pick)

    init {
        pick.setOnClickListener { actions.pickPhoto() }
    }

    /** Shows what a state calls for, if anything. */
    fun show(state: MainState) {
        val notice = notice(state)
        box.visibility = if (notice == null) View.GONE else View.VISIBLE
        if (notice == null) return
        title.setText(notice.title)
        text.showOrHide(notice.text)
        command.visibility = shown(notice.withCommand)
        pick.visibility = shown(notice.withPick)
        action.visibility = shown(notice.action != null)
        notice.action?.let { (name, what) ->
            action.setText(name)
            action.setOnClickListener { what() }
        }
    }

    private class Notice(
        val title: Int,
        val text: String? = null,
        val withCommand: Boolean = false,
        val withPick: Boolean = false,
        val action: Pair<Int, () -> Unit>? = null,
    )

    private fun notice(state: MainState): Notice? = when (val model = state.model) {
        ModelState.Missing ->
            Notice(R.string.missing_title, say(R.string.missing_text), withCommand = true)
        is ModelState.Broken -> Notice(R.string.broken_title, model.reason)
        ModelState.Loading -> if (hasPicture(state)) null else Notice(R.string.loading_title)
        is ModelState.Ready -> if (state.source == Source.PHOTO) null else camera(state.camera)
    }

    private fun hasPicture(state: MainState) = when (state.source) {
        Source.PHOTO -> state.photo != null
        Source.CAMERA -> state.camera is CameraState.Open
    }

    private fun camera(camera: CameraState): Notice? = when (camera) {
        is CameraState.Open -> null
        CameraState.Closed -> Notice(R.string.starting_title)
        CameraState.Absent ->
            Notice(R.string.absent_title, say(R.string.absent_text), withPick = true)
        is CameraState.Denied -> if (camera.forGood) {
            val action = Pair(R.string.open_settings, actions::openSettings)
            Notice(R.string.denied_title, say(R.string.denied_for_good_text), false, true, action)
        } else {
            val action = Pair(R.string.ask_again, actions::askForCamera)
            Notice(R.string.denied_title, say(R.string.denied_text), false, true, action)
        }
        is CameraState.Failed -> {
            val why = when (camera.why) {
                Why.IN_USE -> say(R.string.failed_in_use)
                Why.TAKEN -> say(R.string.failed_taken)
                Why.ERROR -> resources.getString(R.string.failed_error, camera.detail)
            }
            val action = Pair(R.string.try_again, actions::tryAgain)
            Notice(R.string.failed_title, why, false, true, action)
        }
    }

    private fun say(text: Int): String = resources.getString(text)

    private fun shown(wanted: Boolean) = if (wanted) View.VISIBLE else View.GONE
}
