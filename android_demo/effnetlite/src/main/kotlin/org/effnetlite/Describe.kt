package org.effnetlite

import java.nio.ByteBuffer
import java.security.MessageDigest

/**
 * What a file says of itself; the rules are those of quantize/tflite/predictor.py.
 *
 * In this order: our record, TFLite Metadata, the tensors. An integer input without a record takes
 * its scale and zero point at their word, so that pixels go in unchanged; a float one needs a
 * normalisation from somewhere.
 *
 * @param names Labels from beside the file, which count where it has none of its own.
 * @throws ModelException It is no image classifier, or what it says does not fit its tensors.
 */
internal fun describe(
    file: ModelFile,
    options: Options,
    names: List<String>?,
): ModelDescription {
    val input = imageInput(file)
    val output = vectorOutput(file)
    val classes = output.shape.last()
    val metadata = file.metadata(TfliteMetadata.ENTRY)?.let(TfliteMetadata::parse)
    val record = file.metadata(ModelRecord.ENTRY)?.let(ModelRecord::parse)
    if (record != null) checkFits(record, input, classes)
    val labels = labels(file, metadata, classes, options.labels, names)
    return ModelDescription(
        name = record?.variant ?: metadata?.name?.ifEmpty { null } ?: "model",
        variant = record?.variant,
        precision = record?.precision,
        head = record?.head,
        size = input.shape[1],
        classes = classes,
        labels = List(classes) { labels?.getOrNull(it) ?: "class $it" },
        labelOffset = record?.labelOffset ?: labelOffset(labels, classes),
        cropFraction = record?.preprocessing?.cropFraction ?: DEFAULT_CROP,
        resize = record?.preprocessing?.resize ?: Resize.BICUBIC,
        normalization = options.normalization ?: record?.preprocessing?.normalization
            ?: foreignNormalization(input, metadata),
        input = input,
        output = output,
        sha256 = sha256(file.data),
        bytes = file.data.remaining(),
        operators = file.graph.operators.size,
        toolVersion = record?.toolVersion,
        golden = record?.golden,
        hasActivationMap = ActivationMapper.of(file) != null,
    )
}

/** Names for [classes] outputs, one more than names where output 0 is a background class. */
internal fun fitLabels(labels: List<String>, classes: Int): List<String> = when (classes) {
    labels.size -> labels
    labels.size + 1 -> listOf(BACKGROUND) + labels
    else -> throw ModelException(
        "the model has $classes outputs but there are ${labels.size} labels; expected $classes, " +
            "or ${classes - 1} for a model with a background class"
    )
}

/** The lines of a label file: UTF-8, with or without a byte order mark, any line ends. */
internal fun parseLabels(content: ByteArray): List<String> {
    val text = content.toString(Charsets.UTF_8).removePrefix("\uFEFF").replace("\r\n", "\n")
    return if (text.isEmpty()) emptyList() else text.removeSuffix("\n").split("\n")
}

private const val DEFAULT_CROP = 0.875
private const val BACKGROUND = "background"
private val BACKGROUNDS = setOf(BACKGROUND, "dummy")
private const val MAX_CLASSES = 1_000_000

private fun imageInput(file: ModelFile): TensorInfo {
    val info = file.graph.inputs.singleOrNull()?.let { file.info(it, "input") }
    val shape = info?.shape.orEmpty()
    if (info == null || shape.size != 4 || shape[0] != 1 || shape[3] != 3) {
        val found = file.graph.inputs.joinToString { "${file.graph.tensors[it].shape}" }
        throw ModelException(
            "expected a model with one input of shape [1, height, width, 3], found " +
                found.ifEmpty { "none" }.take(200)
        )
    }
    if (shape[1] != shape[2] || shape[1] > MAX_SIZE) {
        throw ModelException(
            "expected a square input of at most $MAX_SIZE pixels, found ${shape[1]} x ${shape[2]}"
        )
    }
    if (!info.quantized && info.type in setOf(TensorType.INT8, TensorType.INT16)) {
        throw ModelException("expected an ${info.type.dtype} input with a scale, found none")
    }
    return info
}

private fun vectorOutput(file: ModelFile): TensorInfo {
    val first = file.graph.outputs.firstOrNull() ?: throw ModelException("the model has no output")
    val info = file.info(first, "output")
    if (info.count != info.shape.last() || info.count > MAX_CLASSES) {
        throw ModelException(
            "expected a first output that is a vector over at most $MAX_CLASSES classes, found " +
                "shape ${info.shape}"
        )
    }
    return info
}

private fun checkFits(record: ModelRecord, input: TensorInfo, classes: Int) {
    if (record.preprocessing.size != input.shape[1]) {
        throw ModelException(
            "the model's record says ${record.preprocessing.size} pixels a side, its input takes " +
                "${input.shape[1]}"
        )
    }
    if (record.classes != classes) {
        throw ModelException(
            "the model's record says ${record.classes} classes, it has $classes outputs"
        )
    }
}

private fun labels(
    file: ModelFile,
    metadata: TfliteMetadata?,
    classes: Int,
    wanted: List<String>?,
    beside: List<String>?,
): List<String>? {
    if (wanted != null) return fitLabels(wanted, classes)
    for (name in metadata?.labelFiles.orEmpty()) {
        LabelArchive.read(file.data, name)?.let { return parseLabels(it) }
    }
    return beside?.let { fitLabels(it, classes) }
}

private fun labelOffset(labels: List<String>?, classes: Int): Int {
    if (labels == null) return if (classes == 1001) 1 else 0
    val background = labels.firstOrNull()?.trim()?.lowercase() in BACKGROUNDS
    return if (background && labels.size == classes) 1 else 0
}

private fun foreignNormalization(input: TensorInfo, metadata: TfliteMetadata?): Normalization = try {
    val mean = metadata?.mean.orEmpty()
    val std = metadata?.std.orEmpty()
    when {
        input.quantized -> asPixels(input)
        input.type == TensorType.UINT8 -> Normalization(0f, 1f)
        mean.isNotEmpty() && std.isNotEmpty() -> Normalization(mean, std)
        else -> throw ModelException(
            "the model does not say how it normalises pixels: it carries neither effnet-lite's " +
                "record nor TFLite Metadata; pass Options(normalization = Normalization(mean, std))"
        )
    }
} catch (error: IllegalArgumentException) {
    throw ModelException("the model's metadata cannot be used: ${error.message}", error)
}

/** `mean = zero point` of the pixels, `std = 1 / scale`: pixels go in unchanged. */
private fun asPixels(input: TensorInfo): Normalization {
    val lowest = when (input.type) {
        TensorType.INT8 -> -128
        else -> 0
    }
    return Normalization((input.zeroPoint - lowest).toFloat(), (1 / input.scale.toDouble()).toFloat())
}

private fun sha256(data: ByteBuffer): String {
    val digest = MessageDigest.getInstance("SHA-256")
    digest.update(data.duplicate())
    return digest.digest().joinToString("") { "%02x".format(it) }
}
