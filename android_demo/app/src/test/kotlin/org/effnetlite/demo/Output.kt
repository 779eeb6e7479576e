package org.effnetlite.demo

import java.io.File

/**
 * Where a test leaves something to look at: the folder of the system property `effnetlite.output`,
 * which the build sets to build/android; without it, a temporary one.
 */
fun output(name: String): File {
    val folder = System.getProperty("effnetlite.output")?.let(::File) ?: TEMPORARY
    return File(folder, name).also { checkNotNull(it.parentFile).mkdirs() }
}

private val TEMPORARY: File by lazy {
    File.createTempFile("effnetlite", "").apply { delete(); mkdirs(); deleteOnExit() }
}
