package org.effnetlite.demo.benchmark

import android.graphics.Bitmap
import java.util.Random
import java.util.concurrent.CancellationException
import org.effnetlite.EffNetLite

/**
 * How a model is timed; the figures of `effnet-lite benchmark`.
 *
 * @property warmup Runs thrown away.
 * @property runs Timed runs, at least.
 * @property seconds Of them together, at least.
 * @property most Runs after which it is over in any case: a model that takes a few microseconds
 *   would need a record of megabytes to fill a second, which no app can share.
 */
data class Protocol(
    val warmup: Int = 5,
    val runs: Int = 50,
    val seconds: Double = 1.0,
    val most: Int = 2000,
) {
    /** How much of it is done, 0 to 1. */
    internal fun share(done: Int, spent: Double): Double {
        val time = maxOf(spent / seconds, done.toDouble() / most)
        return minOf(time, done.toDouble() / runs, 1.0)
    }
}

/**
 * What was timed, in milliseconds.
 *
 * @property times Of the model alone, in order.
 * @property preprocess Of reading, cropping and resizing the picture before each.
 */
class Times(val times: DoubleArray, val preprocess: DoubleArray)

/** How far a benchmark is. */
sealed interface Step {
    data object Loading : Step

    data object WarmingUp : Step

    /** @property share 0 to 1. */
    data class Timing(val runs: Int, val share: Float) : Step
}

/**
 * Times a model as an app uses it: preprocessing, then the model, and again.
 *
 * @param tell Called as it goes on, on the same thread.
 * @param stopped Whether the user wants no more of it.
 * @throws CancellationException It was stopped.
 */
fun measure(
    model: EffNetLite,
    protocol: Protocol,
    tell: (Step) -> Unit,
    stopped: () -> Boolean,
): Times {
    val picture = picture()
    val times = ArrayList<Double>()
    val preprocess = ArrayList<Double>()
    tell(Step.WarmingUp)
    repeat(protocol.warmup) {
        if (stopped()) throw CancellationException()
        model.run(picture)
    }
    var seconds = 0.0
    while (times.size < protocol.runs || seconds < protocol.seconds && times.size < protocol.most) {
        if (stopped()) throw CancellationException()
        val found = model.run(picture)
        times += found.inferenceNanos / 1e6
        preprocess += found.preprocessNanos / 1e6
        seconds += found.inferenceNanos / 1e9
        // Each message wakes the main thread: not more of them than a screen can show.
        if (times.size % 10 == 0) {
            tell(Step.Timing(times.size, protocol.share(times.size, seconds).toFloat()))
        }
    }
    return Times(times.toDoubleArray(), preprocess.toDoubleArray())
}

/** What [picture] is called in a record. */
const val PICTURE = "a 640 x 480 bitmap"

/** A picture for the preprocessing, always the same: coarse noise, blended. */
private fun picture(): Bitmap {
    val random = Random(0)
    val coarse = IntArray(16 * 12) { random.nextInt() or (0xff shl 24) }
    val small = Bitmap.createBitmap(coarse, 16, 12, Bitmap.Config.ARGB_8888)
    return Bitmap.createScaledBitmap(small, 640, 480, true)
}
