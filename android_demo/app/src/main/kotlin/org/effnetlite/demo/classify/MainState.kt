package org.effnetlite.demo.classify

import android.graphics.Bitmap
import org.effnetlite.ActivationMap
import org.effnetlite.Category
import org.effnetlite.Crop
import org.effnetlite.DelegateReport
import org.effnetlite.ModelDescription
import org.effnetlite.demo.Settings
import org.effnetlite.demo.camera.CameraState

/**
 * All that the main screen shows.
 *
 * @property model The one in the assets.
 * @property source What is looked at.
 * @property camera Of the live pictures; it is used only while [source] says so.
 * @property photo The latest that could be read.
 * @property answer To the latest picture; null before the first, and when the question changed.
 * @property problem Why there is no answer, or no photo.
 */
data class MainState(
    val settings: Settings,
    val model: ModelState = ModelState.Loading,
    val source: Source = Source.CAMERA,
    val camera: CameraState = CameraState.Closed,
    val photo: Photo? = null,
    val answer: Answer? = null,
    val problem: Problem? = null,
)

/** Where pictures come from. */
enum class Source { CAMERA, PHOTO }

/** What is known of the model. */
sealed interface ModelState {
    /** It is being loaded, for the first time or with other settings. */
    data object Loading : ModelState

    /** The app has none. */
    data object Missing : ModelState

    /** It cannot be used; the library says why. */
    data class Broken(val reason: String) : ModelState

    /**
     * It answers.
     *
     * @property name Of its file.
     * @property runtime Name and version of what computes it.
     */
    data class Ready(
        val name: String,
        val description: ModelDescription,
        val delegate: DelegateReport,
        val runtime: Pair<String, String>,
    ) : ModelState
}

/**
 * A photo, upright.
 *
 * @property name As the app that it comes from calls it; null where it does not.
 * @property pixels What the model is asked about.
 * @property preview What is shown: the same, or smaller where no screen could draw it.
 * @property sampling How many pixels of the file, each way, became one for want of memory; 1 is
 *   all of them.
 */
class Photo(val name: String?, val pixels: Bitmap, val preview: Bitmap, val sampling: Int)

/**
 * What the model says of one picture.
 *
 * @property width Of the upright picture, as [crop] counts.
 * @property frameNanos How long a camera's picture took to become RGB; null for a photo.
 */
data class Answer(
    val categories: List<Category>,
    val width: Int,
    val height: Int,
    val frameNanos: Long?,
    val preprocessNanos: Long,
    val inferenceNanos: Long,
    val crop: Crop,
    val map: ActivationMap?,
)

/** Why something that the user asked for is not there. */
sealed interface Problem {
    /** A photo that cannot be opened or decoded. */
    data object UnreadablePhoto : Problem

    /** A photo that does not fit into memory even at reduced size. */
    data object LargePhoto : Problem

    /** There is no app to pick a photo with. */
    data object NoPicker : Problem

    /** The model does not answer; the library says why. */
    data class NoAnswer(val reason: String) : Problem
}
