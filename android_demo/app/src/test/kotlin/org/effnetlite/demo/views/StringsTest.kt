package org.effnetlite.demo.views

import java.lang.reflect.Modifier
import org.effnetlite.demo.R
import org.effnetlite.demo.TestApp
import org.effnetlite.testing.DesktopRunner
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RuntimeEnvironment
import org.robolectric.annotation.Config

/** Every text can be formatted: its arguments are numbered without a gap and of known types. */
@RunWith(DesktopRunner::class)
@Config(application = TestApp::class)
class StringsTest {
    private val resources get() = RuntimeEnvironment.getApplication().resources

    @Test
    fun strings() {
        val names = constants(R.string::class.java)
        assertTrue("found only ${names.size}", names.size > 50)
        for ((name, id) in names) check(name, resources.getString(id))
    }

    @Test
    fun pluralsTakeTheSameArgumentsForEachNumber() {
        val names = constants(R.plurals::class.java)
        assertTrue("found only ${names.size}", names.size > 4)
        for ((name, id) in names) {
            val texts = listOf(1, 2, 1000).map { resources.getQuantityText(id, it).toString() }
            texts.forEach { check(name, it) }
            val arguments = texts.map { text -> PLACE.findAll(text).map { it.value }.toSet() }
            assertEquals(name, 1, arguments.toSet().size)
            assertTrue("$name does not say its number", "%1\$d" in texts[0])
        }
    }

    private fun check(name: String, text: String) {
        assertTrue("$name is empty", text.isNotBlank())
        val places = PLACE.findAll(text).toList()
        val numbers = places.map { it.groupValues[1].toInt() }.toSortedSet()
        assertEquals("$name: $text", (1..numbers.size).toSet(), numbers.toSet())
        val arguments = numbers.map<Int, Any> { number ->
            when (places.first { it.groupValues[1].toInt() == number }.groupValues[2].last()) {
                'd' -> 7
                'f' -> 7.5
                else -> "word"
            }
        }
        val formatted = String.format(text, *arguments.toTypedArray())
        assertFalse("$name: $formatted", '%' in formatted)
    }

    private fun constants(type: Class<*>): Map<String, Int> =
        type.declaredFields.filter { Modifier.isStatic(it.modifiers) && it.type == Int::class.java }
            .associate { it.name to it.getInt(null) }

    private companion object {
        val PLACE = Regex("""%(\d+)\$([.\d]*[dfs])""")
    }
}
