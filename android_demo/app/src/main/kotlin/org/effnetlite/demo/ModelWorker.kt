package org.effnetlite.demo

import android.os.Handler
import android.os.Looper
import java.util.concurrent.Executors
import org.effnetlite.EffNetLite

/**
 * The one background thread of a screen, and the model that it owns.
 *
 * Work is done in its order; what it gives is delivered on the main thread, and dropped once this
 * is closed.
 */
class ModelWorker(private val models: Models) : AutoCloseable {
    private val executor = Executors.newSingleThreadExecutor { Thread(it, THREAD) }
    private val main = Handler(Looper.getMainLooper())

    @Volatile
    private var closed = false

    // Touched by the thread alone.
    private var name: String? = null
    private var model: EffNetLite? = null

    /** Closes the model in use and loads the app's one; gives null where the app has none. */
    fun load(settings: Settings, done: (Result<Loaded?>) -> Unit) = post(done) {
        model?.close()
        model = null
        val first = models.names().firstOrNull() ?: return@post null
        name = first
        val loaded = models.load(first, settings.options)
        model = loaded
        Loaded(first, loaded)
    }

    /** Work on the model that was loaded before. */
    fun <T> ask(done: (Result<T>) -> Unit, work: (EffNetLite) -> T) =
        post(done) { work(checkNotNull(model) { "no model is loaded" }) }

    /** Tells the main thread something from within work. */
    fun tell(words: () -> Unit) {
        main.post { if (!closed) words() }
    }

    /** Any other work. Nothing is done after [close]. */
    @Synchronized // the camera's thread asks, the main one closes
    fun <T> post(done: (Result<T>) -> Unit, work: () -> T) {
        if (closed) return
        executor.execute {
            val result = if (closed) return@execute else attempt(work)
            main.post { if (!closed) done(result) }
        }
    }

    /** Ends the thread behind the work that it does now, and with it the model. At once. */
    @Synchronized
    override fun close() {
        if (closed) return
        closed = true
        executor.execute {
            model?.close()
            model = null
        }
        executor.shutdown()
    }

    /** A model, and the file it came from. */
    class Loaded(val name: String, val model: EffNetLite)

    companion object {
        /** Name of the thread. */
        const val THREAD = "demo-model"

        /** What [work] gives or throws; without memory, too, the app goes on. */
        private fun <T> attempt(work: () -> T): Result<T> = try {
            Result.success(work())
        } catch (failure: Exception) {
            Result.failure(failure)
        } catch (failure: OutOfMemoryError) {
            Result.failure(failure)
        }
    }
}
