package org.effnetlite

/**
 * A model that cannot be used: not a .tflite file, damaged, cut short, without what an image
 * classifier needs, or refused by every engine. The message is one line that says what was
 * expected, what was found and what to do.
 */
class ModelException(message: String, cause: Throwable? = null) : Exception(message, cause)

/**
 * A delegate, or an engine behind it, that does not load or does not run a model. The message is
 * the reason, one line; [EffNetLite] goes on to the next delegate and keeps it.
 */
class DelegateException(message: String, cause: Throwable? = null) : Exception(message, cause)

/** Longest text of another library that a message repeats, in characters. */
private const val LONGEST = 300

/** A throwable's words in one line: another library's may have several, or none. */
internal fun Throwable.oneLine(): String {
    val text = (message ?: "").split(Regex("\\s+")).filter { it.isNotEmpty() }.joinToString(" ")
    return text.take(LONGEST).trimEnd(' ', '.', ';').ifEmpty { javaClass.simpleName }
}
