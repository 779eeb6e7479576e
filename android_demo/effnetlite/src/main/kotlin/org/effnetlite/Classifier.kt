package org.effnetlite

import android.graphics.Bitmap
import java.nio.ByteBuffer
import java.nio.ByteOrder

/**
 * A model with its engine, buffers and preprocessing, for the one thread that made it.
 *
 * @param model The whole file, as an [EngineFactory] takes it.
 * @param names Labels from beside the file.
 */
internal class Classifier(
    model: ByteBuffer,
    options: Options,
    names: List<String>?,
    engines: EngineFactory,
) : AutoCloseable {
    private val file = ModelFile(model)
    val description: ModelDescription = describe(file, options, names)

    private val mapper = ActivationMapper.of(file)
    private val topK = options.topK
    private val outputs = file.graph.outputs.map { file.info(it, "output") }
    private val input = directBuffer(description.input.bytes)
    private val results = outputs.map { directBuffer(it.bytes) }
    private val codec = InputCodec(description.input, description.normalization, input)
    private val preprocessor =
        Preprocessor(description.size, description.cropFraction, description.resize)
    private val scores = Scores(description)
    private val chain: EngineChain

    init {
        codec.all(IntArray(description.size * description.size) { GREY })
        chain = EngineChain(
            engines, model, options, listOf(description.input) + outputs,
            EngineChain.Buffers(input, results),
        ) { run -> if (options.checkGolden) requireGolden(run) }
    }

    val report: DelegateReport get() = chain.report
    val loading: LoadTimes get() = chain.loading
    val runtime: Pair<String, String> get() = chain.runtime

    fun classify(bitmap: Bitmap, rotationDegrees: Int, mapClass: Int?): Classification =
        classify(BitmapPixels(bitmap), rotationDegrees, mapClass)

    fun classify(picture: PixelSource, rotationDegrees: Int, mapClass: Int?): Classification {
        require(mapClass == null || mapClass in 0 until description.classes) {
            "expected a class of 0 to ${description.classes - 1}, found $mapClass"
        }
        val start = System.nanoTime()
        val crop = preprocessor.fit(picture, rotationDegrees) { y, pixels -> codec.row(y, pixels, 0) }
        val ready = System.nanoTime()
        chain.run()
        val done = System.nanoTime()
        val categories = scores.best(results[0], topK)
        return Classification(
            categories = categories,
            preprocessNanos = ready - start,
            inferenceNanos = done - ready,
            crop = crop,
            map = mapper?.map(results[1], mapClass ?: categories.first().index),
        )
    }

    fun replayGolden(): GoldenResult = golden { chain.run() }

    override fun close() = chain.close()

    private fun golden(run: () -> Unit): GoldenResult {
        val check = description.golden ?: throw ModelException(
            "the model carries no golden check; convert it with effnet-lite"
        )
        if (check.height != description.size || check.width != description.size) {
            throw ModelException(
                "the golden check is for ${check.height} x ${check.width} pixels, the model takes " +
                    "${description.size}; it belongs to another model"
            )
        }
        val pixels = IntArray(check.height * check.width)
        check.pixels(pixels)
        codec.all(pixels)
        run()
        return check.compare(results[0].duplicate().order(ByteOrder.nativeOrder()), outputs[0].type)
    }

    private fun requireGolden(run: () -> Unit) {
        val result = golden(run)
        if (!result.passed) {
            throw DelegateException(
                "computes something else: the golden check is off by " +
                    "${result.maxDifferenceSteps} steps, at most ${description.golden?.tolerance} pass"
            )
        }
    }

    private companion object {
        const val GREY = 0x808080
    }
}
