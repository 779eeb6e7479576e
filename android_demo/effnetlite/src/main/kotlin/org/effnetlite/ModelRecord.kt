package org.effnetlite

import org.json.JSONArray
import org.json.JSONException
import org.json.JSONObject
import java.nio.ByteBuffer

/**
 * The EFFNET_LITE record: what effnet-lite writes about a model into its file, as JSON. Fields as in
 * quantize/tflite/description.py and lite/preprocessing.py; keys it does not know are passed over.
 */
internal class ModelRecord(
    val variant: String,
    val precision: String,
    val head: Head,
    val classes: Int,
    val labelOffset: Int,
    val toolVersion: String,
    val preprocessing: Preprocessing,
    val golden: GoldenCheck?,
) {
    /** How a picture becomes pixels, and pixels a float input. */
    class Preprocessing(
        val size: Int,
        val cropFraction: Double,
        val resize: Resize,
        val normalization: Normalization,
    )

    companion object {
        const val ENTRY = "EFFNET_LITE"

        // A record with a golden check of 1000 floats takes 8 KB.
        private const val MAX_BYTES = 1024 * 1024

        private val PRECISIONS = listOf("float32", "float16", "dynamic", "int8", "int16x8")

        /** @throws ModelException Too large, not JSON, or a value is missing or wrong. */
        fun parse(data: ByteBuffer): ModelRecord {
            if (data.remaining() > MAX_BYTES) {
                throw ModelException("$WHAT is too large: ${data.remaining()} bytes")
            }
            val text = ByteArray(data.remaining()).also { data.duplicate().get(it) }
            val tree = try {
                JSONObject(text.toString(Charsets.UTF_8))
            } catch (error: JSONException) {
                throw ModelException("$WHAT is not valid JSON", error)
            } catch (error: StackOverflowError) {
                throw ModelException("$WHAT is not valid JSON: nested too deep", error)
            }
            return record(JsonReader(tree, WHAT))
        }

        private fun record(json: JsonReader): ModelRecord {
            val classes = json.int("classes", 1..1_000_000)
            return ModelRecord(
                variant = json.text("variant"),
                precision = json.choice("precision", PRECISIONS.associateWith { it }),
                head = json.choice("head", Head.entries.associateBy { it.name.lowercase() }),
                classes = classes,
                labelOffset = json.int("label_offset", 0 until classes, default = 0),
                toolVersion = json.text("tool_version"),
                preprocessing = preprocessing(json.child("preprocessing") ?: json.lacks("preprocessing")),
                golden = json.child("golden")?.let(::golden),
            )
        }

        private fun preprocessing(json: JsonReader): Preprocessing {
            val cropFraction = json.number("crop_fraction", default = 0.875)
            if (cropFraction <= 0 || cropFraction > 1) json.wrong("crop_fraction", "above 0, at most 1")
            val normalization = try {
                Normalization(json.floats("mean", 127f), json.floats("std", 128f))
            } catch (error: IllegalArgumentException) {
                throw ModelException("$WHAT: ${error.message}", error)
            }
            return Preprocessing(
                size = json.int("size", 1..MAX_SIZE),
                cropFraction = cropFraction,
                resize = json.choice(
                    "resize", Resize.entries.associateBy { it.name.lowercase() }, Resize.BICUBIC,
                ),
                normalization = normalization,
            )
        }

        private fun golden(json: JsonReader) = GoldenCheck(
            height = json.int("height", 1..MAX_SIZE),
            width = json.int("width", 1..MAX_SIZE),
            gridSize = json.int("grid_size", 1..GoldenCheck.MAX_GRID_SIZE),
            grid = json.bytes("grid"),
            dtype = json.text("dtype"),
            output = json.bytes("output"),
            step = json.number("step"),
            tolerance = json.number("tolerance"),
        )

        private const val WHAT = "the model's EFFNET_LITE record"
    }
}

/** Sides of an input that make sense, in pixels. */
internal const val MAX_SIZE = 8192

/** Typed access to a JSON object: a value of another type is a [ModelException]. */
internal class JsonReader(private val json: JSONObject, private val what: String) {
    fun text(key: String): String = value(key) as? String ?: wrong(key, "a text")

    fun int(key: String, range: IntRange, default: Int? = null): Int {
        val value = value(key, default)
        val number = (value as? Int)?.toLong() ?: value as? Long ?: wrong(key, "a whole number")
        if (number !in range) wrong(key, "${range.first} to ${range.last}")
        return number.toInt()
    }

    fun number(key: String, default: Double? = null): Double = real(key, value(key, default))

    /** One number or three, as the record's lists are. */
    fun floats(key: String, default: Float): List<Float> {
        val list = json.opt(key) ?: return listOf(default)
        if (list !is JSONArray || list.length() > 3) wrong(key, "a list of 1 or 3 numbers")
        return List(list.length()) { real(key, list.opt(it)).toFloat() }
    }

    fun bytes(key: String): ByteArray = try {
        kotlin.io.encoding.Base64.decode(text(key))
    } catch (error: IllegalArgumentException) {
        throw ModelException("$what: $key is damaged base64", error)
    }

    fun <T> choice(key: String, choices: Map<String, T>, default: T? = null): T {
        if (default != null && !json.has(key)) return default
        return choices[text(key)] ?: wrong(key, "one of ${choices.keys.joinToString()}")
    }

    /** The object of a key; null where it is left out, or null. */
    fun child(key: String): JsonReader? {
        val value = json.opt(key)
        if (value == null || value == JSONObject.NULL) return null
        return JsonReader(value as? JSONObject ?: wrong(key, "an object"), "$what: $key")
    }

    fun lacks(key: String): Nothing = throw ModelException("$what lacks $key")

    fun wrong(key: String, expected: String): Nothing {
        val found = json.opt(key).toString().take(LONGEST_VALUE)
        throw ModelException("$what: expected $key to be $expected, found ${printable(found)}")
    }

    private fun value(key: String, default: Any? = null): Any =
        json.opt(key) ?: default ?: lacks(key)

    private fun real(key: String, value: Any?): Double {
        val number = (value as? Number)?.toDouble() ?: wrong(key, "a number")
        return if (number.isFinite()) number else wrong(key, "a finite number")
    }

    private companion object {
        const val LONGEST_VALUE = 40
    }
}
