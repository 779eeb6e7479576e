package org.effnetlite.demo.classify

import android.content.ContentResolver
import android.net.Uri
import java.util.concurrent.atomic.AtomicBoolean
import org.effnetlite.Classification
import org.effnetlite.EffNetLite
import org.effnetlite.demo.Models
import org.effnetlite.demo.ModelWorker
import org.effnetlite.demo.Settings
import org.effnetlite.demo.StateHolder
import org.effnetlite.demo.camera.CameraState
import org.effnetlite.demo.camera.Frame
import org.effnetlite.demo.camera.FrameSink

/** Where asking for a permission stands. */
enum class Asking { NOT_ASKED, ASKS, ASKED }

/**
 * The main screen's state: loads the model, takes camera pictures while it is idle, reads photos.
 *
 * @param resolver Of the application, for photos.
 * @param photo To begin with; null begins with the camera.
 */
class MainHolder(
    models: Models,
    private val resolver: ContentResolver,
    settings: Settings,
    photo: Uri? = null,
) : StateHolder<MainState>(
    MainState(settings, source = if (photo == null) Source.CAMERA else Source.PHOTO),
), FrameSink {
    private val worker = ModelWorker(models)
    private val busy = AtomicBoolean()

    /** Whether the camera's pictures are wanted; its thread reads it. */
    @Volatile
    private var live = false

    /** Raised with each of them, so that what comes of an older one is dropped. */
    private var loads = 0
    private var picks = 0

    /** Where asking for the camera stands; it goes on while the screen is turned. */
    var asking = Asking.NOT_ASKED

    /** The photo on the screen, to find it again when the system ended the app. */
    var photoUri: Uri? = null
        private set

    init {
        load()
        photo?.let(::pick)
    }

    /** Uses other settings; the model is loaded again where they concern it. */
    fun choose(settings: Settings) {
        val old = state.settings
        if (settings == old) return
        change { copy(settings = settings) }
        if (settings.options != old.options) load()
    }

    /** Looks at a photo. What cannot be read leaves everything as it was, and says so. */
    fun pick(uri: Uri) {
        val pick = ++picks
        worker.post({ photo: Result<Photo> ->
            if (pick == picks) photo.fold({ show(uri, it) }, ::photoFailed)
        }) { PhotoReader(resolver).read(uri) }
    }

    /** Looks through the camera. */
    fun live() {
        picks++
        photoUri = null
        change { copy(source = Source.CAMERA, photo = null, answer = null, problem = null) }
    }

    /** The camera opened, closed or failed. */
    fun cameraIs(camera: CameraState) = change {
        if (source == Source.CAMERA && camera !is CameraState.Open) {
            copy(camera = camera, answer = null)
        } else {
            copy(camera = camera)
        }
    }

    /** There is nothing to pick a photo with. */
    fun noPicker() = change { copy(problem = Problem.NoPicker) }

    override fun wantsFrame(): Boolean = live && !busy.get()

    override fun onFrame(frame: Frame) {
        if (!live || !busy.compareAndSet(false, true)) return
        worker.ask({ answer: Result<Answered> ->
            if (live) answered(answer)
        }) { model ->
            // Frees the frame's pixels for the next, whatever happens.
            try {
                val found = model.run(frame.pixels, frame.rotationDegrees)
                Answered(model, answer(found, frame.width, frame.height, frame.nanos))
            } finally {
                busy.set(false)
            }
        }
    }

    override fun close() {
        live = false
        worker.close()
    }

    private fun load() {
        val load = ++loads
        change { copy(model = ModelState.Loading, answer = null, problem = null) }
        worker.load(state.settings) { loaded ->
            if (load != loads) return@load
            change { copy(model = loaded.fold(::ready, ::broken)) }
            if (state.source == Source.PHOTO) askAboutPhoto()
        }
    }

    private fun ready(loaded: ModelWorker.Loaded?): ModelState {
        val model = loaded?.model ?: return ModelState.Missing
        return ModelState.Ready(loaded.name, model.description, model.delegate, model.runtime)
    }

    private fun broken(failure: Throwable): ModelState = ModelState.Broken(failure.words())

    private fun show(uri: Uri, photo: Photo) {
        photoUri = uri
        change { copy(source = Source.PHOTO, photo = photo, answer = null, problem = null) }
        if (state.model is ModelState.Ready) askAboutPhoto()
    }

    private fun photoFailed(failure: Throwable) = change {
        val large = failure is OutOfMemoryError
        copy(
            source = if (photo == null) Source.CAMERA else source,
            problem = if (large) Problem.LargePhoto else Problem.UnreadablePhoto,
        )
    }

    private fun askAboutPhoto() {
        val photo = state.photo ?: return
        val load = loads
        worker.ask({ answer: Result<Answered> ->
            if (load == loads && state.photo === photo) answered(answer)
        }) { model ->
            val pixels = photo.pixels
            Answered(model, answer(model.run(pixels), pixels.width, pixels.height, null))
        }
    }

    private fun answered(result: Result<Answered>) = change {
        result.fold(
            { copy(answer = it.answer, model = model.with(it.model), problem = null) },
            { copy(answer = null, problem = Problem.NoAnswer(it.words())) },
        )
    }

    /** A delegate may fail late, while it runs; the library then goes on with the next. */
    private fun ModelState.with(model: EffNetLite): ModelState =
        if (this is ModelState.Ready) copy(delegate = model.delegate) else this

    private fun change(change: MainState.() -> MainState) {
        update(change)
        live = state.source == Source.CAMERA && state.camera is CameraState.Open &&
            state.model is ModelState.Ready
    }

    private class Answered(val model: EffNetLite, val answer: Answer)
}

private fun answer(found: Classification, width: Int, height: Int, frameNanos: Long?) = Answer(
    found.categories, width, height, frameNanos,
    found.preprocessNanos, found.inferenceNanos, found.crop, found.map,
)

private fun Throwable.words(): String = message ?: javaClass.simpleName
