package org.effnetlite

import android.content.res.AssetManager
import org.effnetlite.testing.DesktopEngines
import org.effnetlite.testing.DesktopRunner
import org.effnetlite.testing.Parity
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import org.junit.runner.RunWith
import org.robolectric.annotation.GraphicsMode
import java.nio.ByteBuffer
import java.util.zip.CRC32
import java.util.zip.ZipEntry
import java.util.zip.ZipOutputStream

/** Models and labels in the assets of an APK, stored and compressed. */
@RunWith(DesktopRunner::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class ModelAssetTest {
    @get:Rule
    val folder = TemporaryFolder()

    /** The assets of an APK with these files; [stored] ones are not compressed. */
    private fun assets(files: Map<String, ByteArray>, stored: Boolean): AssetManager {
        val apk = folder.newFile("assets-$stored-${files.hashCode()}.apk")
        ZipOutputStream(apk.outputStream()).use { zip ->
            for ((name, content) in files) {
                val entry = ZipEntry("assets/$name")
                if (stored) {
                    entry.method = ZipEntry.STORED
                    entry.size = content.size.toLong()
                    entry.crc = CRC32().apply { update(content) }.value
                }
                zip.putNextEntry(entry)
                zip.write(content)
                zip.closeEntry()
            }
        }
        // No part of the SDK, but the only way to an APK that is not installed.
        val assets = AssetManager::class.java.getConstructor().newInstance()
        val add = AssetManager::class.java.getMethod("addAssetPath", String::class.java)
        assertTrue((add.invoke(assets, apk.path) as Int) != 0)
        return assets
    }

    private fun bytes(buffer: ByteBuffer) = ByteArray(buffer.remaining()).also { buffer.duplicate().get(it) }

    @Test
    fun `a model is read byte by byte, stored or compressed`() {
        val model = Parity.open().model("other-labels").file.readBytes()
        val files = mapOf("before.bin" to ByteArray(77), "models/small.tflite" to model)
        for (stored in listOf(true, false)) {
            val found = ModelAsset.read(assets(files, stored), "models/small.tflite")
            assertTrue("stored: $stored", found.isDirect)
            assertArrayEquals("stored: $stored", model, bytes(found))
            EffNetLite.create(found, engines = DesktopEngines()).use {
                assertEquals(listOf("alpaca", "bicycle", "cup"), it.description.labels)
            }
        }
    }

    @Test
    fun `labels beside a model are found by its name, then by labels_txt`() {
        val own = "one\r\n two \n".toByteArray()
        val common = "x\ny\n".toByteArray()
        val both = assets(mapOf("a/m.labels.txt" to own, "a/labels.txt" to common), true)
        assertEquals(listOf("one", "two"), ModelAsset.labels(both, "a/m.tflite"))
        assertEquals(listOf("x", "y"), ModelAsset.labels(both, "a/other.tflite"))
        assertNull(ModelAsset.labels(both, "m.tflite"))
    }

    @Test
    fun `what is missing says so`() {
        val error = assertThrows(ModelException::class.java) {
            ModelAsset.read(assets(mapOf("x" to ByteArray(1)), true), "y.tflite")
        }
        assertEquals(
            "the asset 'y.tflite' cannot be read; put a model there with effnet-lite android",
            error.message,
        )
    }
}
