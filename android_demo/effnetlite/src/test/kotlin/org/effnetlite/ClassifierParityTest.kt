package org.effnetlite

import org.effnetlite.testing.DesktopEngines
import org.effnetlite.testing.DesktopRunner
import org.effnetlite.testing.Parity
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.annotation.GraphicsMode
import kotlin.math.abs

/** The same categories, scores and maps as Python's `classify` and `explain`, by real inference. */
@RunWith(DesktopRunner::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class ClassifierParityTest {
    private lateinit var parity: Parity

    @Before
    fun open() {
        parity = Parity.open()
    }

    private fun open(model: Parity.Model): EffNetLite {
        val options = when (model.name) {
            // Python guesses the Lite family's; the library asks.
            "foreign-float" -> Options(normalization = Normalization(127f, 128f))
            else -> Options()
        }
        return EffNetLite.create(model.bytes(), options, DesktopEngines())
    }

    @Test
    fun `every kind of model gives Python's categories`() {
        for (model in parity.models) open(model).use { classifier ->
            assertEquals(model.size, classifier.description.size)
            assertEquals(model.classes, classifier.description.classes)
            assertEquals(model.input, classifier.description.input.type.dtype)
            var most = 0.0
            val answers = model.answers.filter { !it.jpeg && it.picture.rgba == null }
            for (answer in answers) {
                val found = classifier.classify(answer.picture.bitmap(answer.file))
                most = maxOf(most, compare("${model.name}, ${answer.picture.name}", answer, found))
            }
            println("${model.name}: ${answers.size} pictures, scores at most $most off")
        }
    }

    /** The largest difference of scores; fails where the categories are others. */
    private fun compare(what: String, answer: Parity.Answer, found: List<Category>): Double {
        assertEquals(what, answer.categories.map { it.index }, found.map { it.index })
        return answer.categories.zip(found).maxOf { (expected, category) ->
            val off = abs(expected.score - category.score)
            assertTrue("$what: ${category.score} instead of ${expected.score}", off <= TOLERANCE)
            off
        }
    }

    @Test
    fun `labels are the file's, and a model without any numbers its outputs`() {
        for (model in parity.models) open(model).use {
            // Python knows ImageNet's names for 1000 outputs; a phone knows what the file says.
            val expected = if (model.name in UNNAMED) List(model.classes) { "class $it" } else model.labels
            assertEquals(model.name, expected, it.description.labels)
            assertEquals(model.name, if (model.described) SMALL_OR_LITE else null,
                it.description.variant?.let { name -> name.startsWith("lite") })
        }
    }

    @Test
    fun `photos decoded by the platform get the same first category`() {
        val model = parity.model("int8")
        open(model).use { classifier ->
            val answers = model.answers.filter { it.jpeg }
            assertTrue(answers.size >= 20)
            val same = answers.count { answer ->
                val found = classifier.classify(answer.picture.bitmap(answer.file)).first()
                found.index == answer.categories.first().index
            }
            // A level more or less in some pixels can tip a tie between the first two.
            assertTrue("$same of ${answers.size}", same >= answers.size - 1)
        }
    }

    @Test
    fun `a turned photo gets the upright one's categories`() {
        val model = parity.model("int8")
        open(model).use { classifier ->
            for (answer in model.answers.filter { !it.jpeg && it.picture.jpeg != null }.takeLast(4)) {
                val upright = answer.picture.bitmap()
                for (angle in listOf(90, 180, 270)) {
                    // Turned the other way round, so that turning by the angle sets it upright.
                    val found = classifier.classify(turned(upright, 360 - angle), angle)
                    compare("${answer.picture.name} by $angle", answer, found)
                }
            }
        }
    }

    @Test
    fun `activation maps are Python's`() {
        val model = parity.model("activation-map")
        assertTrue(model.maps.isNotEmpty())
        open(model).use { classifier ->
            assertTrue(classifier.description.hasActivationMap)
            var most = 0.0
            for (map in model.maps) {
                val result = classifier.run(map.picture.bitmap())
                val found = result.map!!
                assertEquals(map.classIndex, found.classIndex)
                assertEquals(map.rows to map.columns, found.rows to found.columns)
                // Relative to the map's own range: what float32 resolves.
                val range = map.values.max() - map.values.min()
                val off = map.values.indices.maxOf { abs(map.values[it] - found.values[it]) } / range
                assertTrue("${map.picture.name}: $off of its range off", off < 1e-5)
                most = maxOf(most, off)
                val other = classifier.run(map.picture.bitmap(), mapClass = 7).map!!
                assertEquals(7, other.classIndex)
                assertTrue(other.values.toList() != found.values.toList())
            }
            println("activation maps: at most $most of their range off")
        }
    }

    @Test
    fun `a model with one output offers no map`() {
        open(parity.model("int8")).use {
            assertEquals(false, it.description.hasActivationMap)
            assertNull(it.run(parity.pictures.first().bitmap()).map)
        }
    }

    private companion object {
        // Float models differ by the order of sums between two releases of XNNPACK; 8-bit ones
        // agree to the bit, where one step of a softmax is 1/256.
        const val TOLERANCE = 1e-5
        val UNNAMED = setOf("foreign", "foreign-float")
        const val SMALL_OR_LITE = true
    }
}
