package org.effnetlite

import org.effnetlite.testing.DesktopEngines
import org.effnetlite.testing.DesktopRunner
import org.effnetlite.testing.Parity
import org.json.JSONObject
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNotNull
import org.junit.Assert.assertNull
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.annotation.GraphicsMode
import java.io.File
import java.nio.ByteBuffer
import org.junit.Assume.assumeTrue
import java.security.MessageDigest

/** What models say of themselves: ours, others', and records that are wrong. */
@RunWith(DesktopRunner::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class ModelDescriptionTest {
    private fun read(name: String, options: Options = Options(), names: List<String>? = null) =
        describe(ModelFile(Parity.open().model(name).bytes()), options, names)

    @Test
    fun `our record says all`() {
        val model = Parity.open().model("int8")
        val found = read("int8")
        assertEquals("lite0", found.variant)
        assertEquals("int8", found.precision)
        assertEquals(Head.SOFTMAX, found.head)
        assertEquals(Normalization(127f, 128f), found.normalization)
        assertEquals(listOf(1, 224, 224, 3), found.input.shape)
        assertEquals(TensorType.UINT8, found.input.type)
        assertEquals(1 / 128f, found.input.scale, 0f)
        assertEquals(127, found.input.zeroPoint)
        assertEquals(1 / 256f, found.output.scale, 0f)
        assertEquals(1000, found.labels.size)
        assertEquals("goldfish", found.labels[1])
        assertEquals(0, found.labelOffset)
        assertEquals(Resize.BICUBIC, found.resize)
        assertEquals(model.file.length().toInt(), found.bytes)
        val digest = MessageDigest.getInstance("SHA-256").digest(model.file.readBytes())
        assertEquals(digest.joinToString("") { "%02x".format(it) }, found.sha256)
        assertTrue(found.operators in 60..70)
        assertEquals(1000, found.golden!!.count)
        assertFalse(found.hasActivationMap)
        assertTrue(read("activation-map").hasActivationMap)
    }

    @Test
    fun `the model of the build is one of ours`() {
        val path = System.getProperty("effnetlite.model")
        assumeTrue("no effnetlite.model", path != null)
        val bytes = Parity.direct(File(path!!).readBytes())
        EffNetLite.create(bytes, engines = DesktopEngines()).use {
            assertNotNull(it.description.toolVersion)
            assertTrue("${it.replayGolden()}", it.replayGolden().passed)
        }
    }

    @Test
    fun `a foreign model is read by its metadata or its tensors`() {
        val described = read("foreign-metadata")
        assertEquals("EfficientNet-Lite0", described.name)
        assertNull(described.variant)
        assertEquals("goldfish", described.labels[1])
        val bare = read("foreign")
        assertEquals("model", bare.name)
        assertEquals("class 1", bare.labels[1])
        assertNull(bare.head)
        for (found in listOf(described, bare)) {
            // Scale and zero point at their word: pixels go in unchanged.
            assertEquals(Normalization(127f, 128f), found.normalization)
            assertEquals(0.875, found.cropFraction, 0.0)
        }
    }

    @Test
    fun `a float model without a normalisation asks for one`() {
        val error = assertThrows(ModelException::class.java) { read("foreign-float") }
        assertEquals(
            "the model does not say how it normalises pixels: it carries neither effnet-lite's " +
                "record nor TFLite Metadata; pass Options(normalization = Normalization(mean, std))",
            error.message,
        )
        val own = Normalization(listOf(123.7f, 116.3f, 103.5f), listOf(58.4f, 57.1f, 57.4f))
        assertEquals(own, read("foreign-float", Options(normalization = own)).normalization)
    }

    @Test
    fun `labels from beside the file or from the caller must fit`() {
        val three = listOf("x", "y", "z")
        assertEquals(three, read("other-labels", Options(labels = three)).labels)
        assertEquals(
            listOf("background", "x", "y"),
            read("other-labels", Options(labels = three.take(2))).labels,
        )
        // The file's own come before those beside it.
        assertEquals("alpaca", read("other-labels", names = three).labels[0])
        val many = List(1000) { "name $it" }
        assertEquals(many, read("foreign", names = many).labels)
        val error = assertThrows(ModelException::class.java) {
            read("other-labels", Options(labels = many))
        }
        assertEquals(
            "the model has 3 outputs but there are 1000 labels; expected 3, or 2 for a model with " +
                "a background class",
            error.message,
        )
    }

    @Test
    fun `records that are wrong are refused in one line`() {
        val good = record()
        assertEquals("tiny", ModelRecord.parse(bytes(good.toString())).variant)
        val cases = mapOf<String, (JSONObject) -> Unit>(
            "lacks variant" to { it.remove("variant") },
            "expected variant to be a text, found '7'" to { it.put("variant", 7) },
            "expected precision to be one of float32, float16, dynamic, int8, int16x8, found " +
                "'int4'" to { it.put("precision", "int4") },
            "expected head to be one of softmax, logits, found 'none'" to { it.put("head", "none") },
            "expected classes to be 1 to 1000000, found '0'" to { it.put("classes", 0) },
            "expected classes to be a whole number, found '2.5'" to { it.put("classes", 2.5) },
            "expected classes to be a whole number, found 'true'" to { it.put("classes", true) },
            "expected label_offset to be 0 to 2, found '3'" to { it.put("label_offset", 3) },
            "lacks preprocessing" to { it.remove("preprocessing") },
            ": preprocessing: expected size to be 1 to 8192, found '99999999999'" to
                { it.getJSONObject("preprocessing").put("size", 99999999999L) },
            ": preprocessing: expected crop_fraction to be above 0, at most 1, found '1.5'" to
                { it.getJSONObject("preprocessing").put("crop_fraction", 1.5) },
            ": the standard deviation must be above 0, found [0.0]" to
                { it.getJSONObject("preprocessing").put("std", org.json.JSONArray("[0]")) },
            ": preprocessing: expected resize to be one of nearest, bilinear, bicubic, found " +
                "'lanczos'" to { it.getJSONObject("preprocessing").put("resize", "lanczos") },
            ": golden: grid is damaged base64" to
                { it.put("golden", JSONObject(GOLDEN).put("grid", "!!!")) },
            ": expected golden to be an object, found '[]'" to
                { it.put("golden", org.json.JSONArray()) },
        )
        for ((message, change) in cases) {
            val error = assertThrows(message, ModelException::class.java) {
                ModelRecord.parse(bytes(record().also(change).toString()))
            }
            assertTrue(error.message, error.message!!.startsWith("the model's EFFNET_LITE record"))
            assertTrue("${error.message}, not $message", error.message!!.endsWith(message))
        }
    }

    @Test
    fun `a record that is no JSON is refused`() {
        for (text in listOf("", "{", "[]", "nul", "{\"a\":", "[".repeat(500_000), "{\"a\":".repeat(99_999))) {
            val error = assertThrows(ModelException::class.java) { ModelRecord.parse(bytes(text)) }
            assertTrue(error.message, error.message!!.startsWith("the model's EFFNET_LITE record is not"))
        }
        val large = assertThrows(ModelException::class.java) {
            ModelRecord.parse(ByteBuffer.allocate(2_000_000))
        }
        assertEquals("the model's EFFNET_LITE record is too large: 2000000 bytes", large.message)
    }

    @Test
    fun `keys of a later version are passed over`() {
        val later = record().put("schema", 9).put("new", JSONObject("{\"deep\": [1, 2]}"))
        later.put("golden", JSONObject.NULL)
        val found = ModelRecord.parse(bytes(later.toString()))
        assertEquals(3, found.classes)
        assertNull(found.golden)
    }

    private fun bytes(text: String) = ByteBuffer.wrap(text.toByteArray())

    private fun record() = JSONObject(
        """{"variant": "tiny", "precision": "int8", "head": "softmax", "classes": 3,
            "weights": {"name": "random"}, "tool_version": "0.1", "label_offset": 0,
            "preprocessing": {"size": 64, "crop_fraction": 0.875, "resize": "bicubic",
            "mean": [127.0], "std": [128.0]}}"""
    ).put("golden", JSONObject(GOLDEN))

    private companion object {
        const val GOLDEN = """{"height": 64, "width": 64, "grid_size": 1, "grid": "AAAA",
            "dtype": "uint8", "output": "AQID", "step": 1.0, "tolerance": 16.0}"""
    }
}
