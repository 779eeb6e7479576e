package org.effnetlite

/**
 * One guess.
 *
 * @property index The model's output.
 * @property label Its name; `class 7` where the model has none.
 * @property score Probability, 0 to 1.
 */
data class Category(val index: Int, val label: String, val score: Float)

/**
 * What the model sees in one picture.
 *
 * @property categories The most probable, best first; of equal ones the lower index first.
 * @property preprocessNanos Wall time of reading, cropping and resizing the pixels.
 * @property inferenceNanos Wall time of the model alone.
 * @property crop The square of the upright picture that the model saw.
 * @property map Where the model saw it; null where the model does not offer one.
 */
data class Classification(
    val categories: List<Category>,
    val preprocessNanos: Long,
    val inferenceNanos: Long,
    val crop: Crop,
    val map: ActivationMap?,
)

/** A square of an upright picture, in its pixels. */
data class Crop(val left: Int, val top: Int, val side: Int)

/**
 * A class activation map: how much each place speaks for a class,
 * `M_k(x, y) = sum over c of w_kc * A_c(x, y)`, in logits.
 *
 * @property classIndex The output k that is explained.
 * @property values `rows * columns` of them, row by row; the places divide [Classification.crop]
 *   evenly.
 */
class ActivationMap(
    val classIndex: Int,
    val rows: Int,
    val columns: Int,
    val values: FloatArray,
) {
    /** The value at a place, counted from the upper left. */
    operator fun get(row: Int, column: Int): Float = values[row * columns + column]
}

/**
 * How far a replay of the golden check strayed.
 *
 * @property passed Every output is within the check's tolerance.
 * @property maxDifferenceSteps The largest difference; infinite if an output is not a number.
 * @property top1Matches The highest output is the expected one.
 */
data class GoldenResult(
    val passed: Boolean,
    val maxDifferenceSteps: Double,
    val top1Matches: Boolean,
)
