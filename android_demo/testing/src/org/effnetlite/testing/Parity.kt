package org.effnetlite.testing

import android.graphics.Bitmap
import android.graphics.BitmapFactory
import org.json.JSONArray
import org.json.JSONObject
import org.junit.Assume.assumeTrue
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder

/** The models and pictures, and what Python answers: the folder that central/parity.py fills. */
class Parity private constructor(private val folder: File) {
    private val index = JSONObject(File(folder, "index.json").readText())

    /** A picture; [rgba] holds the pixels of a transparent one, four bytes each. */
    inner class Picture(json: JSONObject) {
        val name: String = json.getString("name")
        val png = File(folder, json.getString("png"))
        val jpeg: File? = json.text("jpeg")?.let { File(folder, it) }
        val rgba: File? = json.text("rgba")?.let { File(folder, it) }

        /** As the platform decodes it, without scaling. */
        fun bitmap(file: File = png): Bitmap {
            val options = BitmapFactory.Options().apply { inScaled = false }
            val bytes = file.readBytes()
            val bitmap = BitmapFactory.decodeByteArray(bytes, 0, bytes.size, options)
            return checkNotNull(bitmap) { "$file: no picture" }
        }
    }

    /** Expected pixels, [size] x [size] x 3 bytes of RGB. */
    inner class Fit(json: JSONObject) {
        val picture = pictures[json.getInt("picture")]
        val rotation = json.getInt("rotation")
        val size = json.getInt("size")
        val cropFraction = json.getDouble("crop_fraction")
        val resize: String = json.getString("resize")
        val pixels: ByteArray by lazy { File(folder, json.getString("pixels")).readBytes() }

        override fun toString() = "${picture.name} by $rotation to $size, $cropFraction, $resize"
    }

    /** One guess of Python's. */
    class Guess(val index: Int, val label: String, val score: Double)

    /** Python's best categories for a picture, decoded from [file]. */
    inner class Answer(json: JSONObject) {
        val picture = pictures[json.getInt("picture")]
        val jpeg = json.getString("source") == "jpeg"
        val file: File = if (jpeg) picture.jpeg!! else picture.png
        val categories = json.getJSONArray("categories").objects().map {
            Guess(it.getInt("index"), it.getString("label"), it.getDouble("score"))
        }
    }

    /** Python's activation map of a class. */
    inner class Map(json: JSONObject) {
        val picture = pictures[json.getInt("picture")]
        val classIndex = json.getInt("class")
        val rows = json.getInt("rows")
        val columns = json.getInt("columns")
        val values = json.getJSONArray("values").let { list ->
            DoubleArray(list.length()) { list.getDouble(it) }
        }
    }

    /** A model, and how Python reads it. */
    inner class Model(json: JSONObject) {
        val name: String = json.getString("name")
        val file = File(folder, json.getString("file"))
        val size = json.getInt("size")
        val input: String = json.getString("input")
        val classes = json.getInt("classes")
        val described = json.getBoolean("described")
        val outputScale = json.getDouble("output_scale")
        val labels = json.getJSONArray("labels").let { list ->
            List(list.length()) { list.getString(it) }
        }

        /** What the golden check says in Python, in steps; null where the model has none. */
        val goldenSteps: Double? = json.optJSONObject("golden")?.getDouble("max_difference_steps")

        /** The same with TFLite's built-in kernels, which round otherwise than XNNPACK. */
        val builtinSteps: Double? =
            json.optJSONObject("golden_builtin")?.getDouble("max_difference_steps")
        val answers = json.getJSONArray("answers").objects().map { Answer(it) }
        val maps = json.getJSONArray("maps").objects().map { Map(it) }

        /** Its bytes, direct, for one test to change or to run. */
        fun bytes(): ByteBuffer = direct(file.readBytes())
    }

    val pictures: List<Picture> = index.getJSONArray("pictures").objects().map { Picture(it) }
    val fits: List<Fit> = index.getJSONArray("fits").objects().map { Fit(it) }
    val models: List<Model> = index.getJSONArray("models").objects().map { Model(it) }

    fun model(name: String): Model = models.first { it.name == name }

    companion object {
        /** The folder of the system property `effnetlite.parity`; without it, the test is skipped. */
        fun open(): Parity {
            val folder = System.getProperty("effnetlite.parity")
            assumeTrue("no effnetlite.parity: run central/parity.py", folder != null)
            return Parity(File(folder!!))
        }

        /** Bytes in a direct buffer, as a runtime takes a model. */
        fun direct(bytes: ByteArray): ByteBuffer {
            val buffer = ByteBuffer.allocateDirect(bytes.size).order(ByteOrder.nativeOrder())
            buffer.put(bytes)
            buffer.clear()
            return buffer
        }
    }
}

private fun JSONObject.text(key: String): String? = if (isNull(key)) null else getString(key)

private fun JSONArray.objects(): List<JSONObject> = List(length()) { getJSONObject(it) }
