package org.effnetlite

import android.content.Context
import android.graphics.Bitmap
import java.nio.ByteBuffer

/**
 * An image classifier from a .tflite file.
 *
 * ```
 * val model = EffNetLite.create(context, "efficientnet-lite0-int8.tflite")
 * val best = model.classify(bitmap, rotationDegrees = 90).first()
 * println("${best.label}: ${best.score}")
 * model.close()
 * ```
 *
 * Size, crop, normalisation, quantization and labels come from the file itself. All methods may
 * be called from any thread, and block until they are done: one thread of its own runs the
 * interpreter, one call after the other, in buffers that are allocated once. Keep them off the
 * main thread.
 */
class EffNetLite private constructor(
    private val worker: Worker,
    private val classifier: Classifier,
) : AutoCloseable {
    /** What the model says of itself. */
    val description: ModelDescription get() = classifier.description

    /** The delegate in use now, and those that were refused. */
    val delegate: DelegateReport get() = classifier.report

    /** The runtime in use, e.g. `tensorflow-lite 2.16.1`: its name and its version. */
    val runtime: Pair<String, String> get() = classifier.runtime

    /** How long loading took with the delegate in use. */
    val loading: LoadTimes get() = classifier.loading

    /**
     * The most probable categories, best first.
     *
     * @param bitmap Any size and configuration; what is transparent is laid over white.
     * @param rotationDegrees How far the picture must be turned clockwise to stand upright: 0,
     *   90, 180 or 270 (a multiple of 90).
     * @throws IllegalStateException After [close].
     * @throws IllegalArgumentException Another angle, or a recycled bitmap.
     * @throws ModelException The model answers with NaN, or every delegate fails.
     */
    fun classify(bitmap: Bitmap, rotationDegrees: Int = 0): List<Category> =
        run(bitmap, rotationDegrees).categories

    /**
     * [classify] with its times, and where the model looked.
     *
     * @param mapClass The output that the activation map explains; null for the most probable.
     */
    fun run(
        bitmap: Bitmap,
        rotationDegrees: Int = 0,
        mapClass: Int? = null,
    ): Classification = worker.run { classifier.classify(bitmap, rotationDegrees, mapClass) }

    /**
     * Runs the pixels that the model carries and compares what it answers with what it answered
     * when it was made: says whether kernels, delegate and input codec compute the same here.
     *
     * @throws ModelException The model carries no golden check, or another model's.
     * @throws IllegalStateException After [close].
     */
    fun replayGolden(): GoldenResult = worker.run { classifier.replayGolden() }

    /** Frees interpreter and delegate, after the call that runs now. Closing twice does no harm. */
    override fun close() = worker.close { classifier.close() }

    companion object {
        /**
         * The model in an asset.
         *
         * Without labels of its own, the model gets those of the asset `NAME.labels.txt` beside
         * `NAME.tflite`, or else of `labels.txt`, one a line, where there is one.
         *
         * @param asset A path in the assets, e.g. `efficientnet-lite0-int8.tflite`.
         * @param engines Another runtime than TFLite's for Android.
         * @throws ModelException The asset is missing, is no usable model, or no delegate takes it.
         */
        fun create(
            context: Context,
            asset: String,
            options: Options = Options(),
            engines: EngineFactory = TfliteEngines(context),
        ): EffNetLite {
            val model = ModelAsset.read(context.assets, asset)
            val names = ModelAsset.labels(context.assets, asset)
            return open(model, options, names, engines)
        }

        /**
         * The model in a buffer, from its position to its limit.
         *
         * @param model Is not changed, and must not be while the classifier is open. What is
         *   neither direct nor mapped is copied.
         * @throws ModelException It is no usable model, or no delegate takes it.
         */
        fun create(
            model: ByteBuffer,
            options: Options = Options(),
            engines: EngineFactory,
        ): EffNetLite = open(model, options, null, engines)

        private fun open(
            model: ByteBuffer,
            options: Options,
            names: List<String>?,
            engines: EngineFactory,
        ): EffNetLite {
            val bytes = directCopy(model)
            val worker = Worker("effnetlite")
            try {
                // On the worker: a GPU delegate works only on the thread that made it.
                return EffNetLite(worker, worker.run { Classifier(bytes, options, names, engines) })
            } catch (failure: Throwable) {
                worker.close {}
                if (failure !is OutOfMemoryError) throw failure
                throw ModelException("no memory for the model's inputs and outputs", failure)
            }
        }
    }
}

/**
 * How long loading took, in nanoseconds of wall time.
 *
 * @property initNanos Reading the model, loading the delegate, allocating tensors.
 * @property firstRunNanos The first inference, on a grey picture.
 */
data class LoadTimes(val initNanos: Long, val firstRunNanos: Long)
