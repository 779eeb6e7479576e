package org.effnetlite

/**
 * What a model says of itself, in our EFFNET_LITE record, in TFLite Metadata, or by its tensors.
 *
 * @property name The variant (`lite0`), else the metadata's name, else `model`.
 * @property variant As in effnet-lite's table; null for a model of another tool.
 * @property precision `float32`, `float16`, `dynamic`, `int8` or `int16x8`; null where unknown.
 * @property head What the outputs are; null where the model does not say, and each output's sum
 *   decides.
 * @property size Side of the square input in pixels.
 * @property classes Length of the output vector.
 * @property labels One name an output; `class 7` where the model has none.
 * @property labelOffset The output of the data set's class 0: 1 where output 0 is a background
 *   class, else 0.
 * @property cropFraction Side of the central square crop over the picture's shorter side.
 * @property resize How the crop becomes the input; antialiased as in Pillow.
 * @property normalization Of a float input; a quantized one has it folded into its scale.
 * @property input Type, scale and zero point of the input, `(1, size, size, 3)`.
 * @property output The same of the output vector.
 * @property sha256 Of the whole file, in hexadecimal.
 * @property bytes Size of the whole file.
 * @property operators How many the file has.
 * @property toolVersion Of the effnet-lite that made it.
 * @property golden Pixels and expected outputs; null where the model carries none.
 * @property hasActivationMap Whether a second output holds the last feature map, so that
 *   [Classification.map] is there.
 */
data class ModelDescription(
    val name: String,
    val variant: String?,
    val precision: String?,
    val head: Head?,
    val size: Int,
    val classes: Int,
    val labels: List<String>,
    val labelOffset: Int,
    val cropFraction: Double,
    val resize: Resize,
    val normalization: Normalization,
    val input: TensorInfo,
    val output: TensorInfo,
    val sha256: String,
    val bytes: Int,
    val operators: Int,
    val toolVersion: String?,
    val golden: GoldenCheck?,
    val hasActivationMap: Boolean,
)

/** What an output vector holds. */
enum class Head { SOFTMAX, LOGITS }

/** Filters of Pillow's `Image.resize`. */
enum class Resize { NEAREST, BILINEAR, BICUBIC }

/**
 * `(pixel - mean) / std` turns pixels, 0 to 255, into a model's reals.
 *
 * @property mean One value, or one a channel (RGB).
 * @property std The same, above 0.
 * @throws IllegalArgumentException Another number of values, or one that cannot be.
 */
data class Normalization(val mean: List<Float>, val std: List<Float>) {
    constructor(mean: Float, std: Float) : this(listOf(mean), listOf(std))

    init {
        for (values in listOf(mean, std)) {
            require(values.size == 1 || values.size == 3) {
                "normalisation takes 1 or 3 numbers, found ${values.size}"
            }
            require(values.all { it.isFinite() }) { "normalisation takes finite numbers: $values" }
        }
        require(std.all { it > 0 }) { "the standard deviation must be above 0, found $std" }
    }

    /** The mean of a channel, 0 to 2. */
    internal fun mean(channel: Int): Float = mean[channel % mean.size]

    /** The standard deviation of a channel, 0 to 2. */
    internal fun std(channel: Int): Float = std[channel % std.size]
}
