package org.effnetlite

import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertThrows
import org.junit.Test
import java.io.ByteArrayOutputStream
import java.nio.ByteBuffer
import java.util.zip.CRC32
import java.util.zip.ZipEntry
import java.util.zip.ZipOutputStream

/** Zip archives behind other bytes, as several tools write them. */
class LabelArchiveTest {
    private val content = "alpaca\nbicycle\ncup\n".toByteArray()

    private fun archive(front: Int, stored: Boolean, comment: String = ""): ByteArray {
        val stream = ByteArrayOutputStream()
        stream.write(ByteArray(front) { (it * 7).toByte() })
        ZipOutputStream(stream).use { zip ->
            zip.setComment(comment)
            for (name in listOf("other.txt", "labels.txt")) {
                val entry = ZipEntry(name)
                val bytes = if (name == "labels.txt") content else ByteArray(0)
                if (stored) {
                    entry.method = ZipEntry.STORED
                    entry.size = bytes.size.toLong()
                    entry.crc = CRC32().apply { update(bytes) }.value
                }
                zip.putNextEntry(entry)
                zip.write(bytes)
                zip.closeEntry()
            }
        }
        return stream.toByteArray()
    }

    private fun read(bytes: ByteArray, name: String = "labels.txt") =
        LabelArchive.read(ByteBuffer.wrap(bytes), name)

    @Test
    fun `stored and deflated files are read, wherever offsets count from`() {
        for (front in listOf(0, 1, 1000)) for (stored in listOf(true, false)) {
            // ZipOutputStream counts from its own start, not from the file's.
            assertArrayEquals(content, read(archive(front, stored)))
            assertArrayEquals(content, read(archive(front, stored, "a comment ".repeat(99))))
        }
    }

    @Test
    fun `what is not there is null`() {
        assertNull(read(ByteArray(0)))
        assertNull(read(ByteArray(5000)))
        assertNull(read(archive(10, true), "none.txt"))
        assertArrayEquals(ByteArray(0), read(archive(10, true), "other.txt"))
    }

    @Test
    fun `each damaged byte is refused or does no harm`() {
        for (stored in listOf(true, false)) {
            val whole = archive(20, stored)
            for (at in 20 until whole.size) for (bit in 0 until 8) {
                val damaged = whole.copyOf()
                damaged[at] = (damaged[at].toInt() xor (1 shl bit)).toByte()
                try {
                    val found = read(damaged)
                    if (found != null) assertArrayEquals("bit $bit of byte $at", content, found)
                } catch (_: ModelException) {
                    continue // as it should be
                }
            }
        }
    }

    @Test
    fun `a file that claims to be too large is refused`() {
        val whole = archive(0, false)
        val central = lastIndexOf(whole, "PK\u0001\u0002")
        whole[central + 24 + 3] = 0x10 // 256 MB
        val error = assertThrows(ModelException::class.java) { read(whole) }
        assertEquals("labels.txt behind the model is larger than 8388608 bytes", error.message)
    }

    @Test
    fun `label files of any editor are read`() {
        assertEquals(listOf("a", "b c", "d"), parseLabels("a\nb c\nd\n".toByteArray()))
        assertEquals(listOf("a", "b"), parseLabels("\uFEFFa\r\nb".toByteArray()))
        assertEquals(listOf("été", ""), parseLabels("été\n\n".toByteArray()))
        assertEquals(emptyList<String>(), parseLabels(ByteArray(0)))
    }

    companion object {
        /** Where a text begins last in bytes. */
        fun lastIndexOf(bytes: ByteArray, text: String): Int {
            val wanted = text.toByteArray(Charsets.ISO_8859_1)
            return (bytes.size - wanted.size downTo 0).first { start ->
                wanted.indices.all { bytes[start + it] == wanted[it] }
            }
        }
    }
}
