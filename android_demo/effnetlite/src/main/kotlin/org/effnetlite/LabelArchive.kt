package org.effnetlite

import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.zip.CRC32
import java.util.zip.DataFormatException
import java.util.zip.Inflater

/**
 * The zip archive of label files behind a .tflite file. The flatbuffer ends where its tables end,
 * and a zip archive is found from its end, so that one file is both.
 *
 * Format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
 */
internal object LabelArchive {
    /** The largest label list in use (21,841 ImageNet-21k names) is 0.4 MB. */
    const val MAX_FILE_BYTES = 8 * 1024 * 1024

    /**
     * A file of the archive behind a model; null where no archive holds it.
     *
     * @throws ModelException The archive is damaged or cut short, or the file is encrypted, oddly
     *   compressed or larger than [MAX_FILE_BYTES].
     */
    fun read(model: ByteBuffer, name: String): ByteArray? {
        val data = model.slice().order(ByteOrder.LITTLE_ENDIAN)
        val end = endRecord(data)
        if (end == null) {
            if (holdsLocalHeader(data, name)) {
                throw ModelException(
                    "the label archive behind the model is cut short: ${printable(name)} is lost; " +
                        "copy, download or convert it again"
                )
            }
            return null
        }
        try {
            return entry(data, end, name)?.let { content(data, it) }
        } catch (error: IndexOutOfBoundsException) {
            throw damaged(name, error)
        } catch (error: DataFormatException) {
            throw damaged(name, error)
        }
    }

    private class Entry(
        val name: String,
        val method: Int,
        val encrypted: Boolean,
        val crc: Long,
        val packed: Int,
        val size: Int,
        val header: Int,
    )

    /** Where the end-of-central-directory record begins; a comment of 64 KB may follow it. */
    private fun endRecord(data: ByteBuffer): Int? {
        val last = data.limit() - END_SIZE
        for (at in last downTo maxOf(0, last - MAX_COMMENT)) {
            val comment = data.limit() - at - END_SIZE
            if (data.getInt(at) == END && unsigned(data, at + 20) <= comment) return at
        }
        return null
    }

    private fun entry(data: ByteBuffer, end: Int, name: String): Entry? {
        val count = unsigned(data, end + 10)
        val size = data.getInt(end + 12)
        val start = end - size
        // Offsets may count from the start of the archive, not of the file.
        val shift = start - data.getInt(end + 16)
        if (size < 0 || start < 0) throw damaged(name)
        var at = start
        repeat(count) {
            if (data.getInt(at) != CENTRAL) throw damaged(name)
            val length = unsigned(data, at + 28)
            val found = text(data, at + 46, length)
            if (found == name) {
                return Entry(
                    name = name,
                    method = unsigned(data, at + 10),
                    encrypted = unsigned(data, at + 8) and 1 != 0,
                    crc = data.getInt(at + 16).toLong() and 0xffffffffL,
                    packed = data.getInt(at + 20),
                    size = data.getInt(at + 24),
                    header = data.getInt(at + 42) + shift,
                )
            }
            at += 46 + length + unsigned(data, at + 30) + unsigned(data, at + 32)
        }
        return null
    }

    private fun content(data: ByteBuffer, entry: Entry): ByteArray {
        if (entry.encrypted || entry.method !in METHODS) {
            throw ModelException("${entry.name} behind the model is encrypted or oddly compressed")
        }
        if (entry.size !in 0..MAX_FILE_BYTES || entry.packed !in 0..MAX_FILE_BYTES) {
            throw ModelException(
                "${entry.name} behind the model is larger than $MAX_FILE_BYTES bytes"
            )
        }
        if (data.getInt(entry.header) != LOCAL) throw damaged(entry.name)
        val start = entry.header + LOCAL_SIZE + unsigned(data, entry.header + 26) +
            unsigned(data, entry.header + 28)
        val packed = bytes(data, start, entry.packed)
        val content = if (entry.method == DEFLATED) inflate(packed, entry) else packed
        val crc = CRC32().apply { update(content) }.value
        if (content.size != entry.size || crc != entry.crc) throw damaged(entry.name)
        return content
    }

    private fun inflate(packed: ByteArray, entry: Entry): ByteArray {
        val inflater = Inflater(true)
        try {
            inflater.setInput(packed)
            // The claimed size may be a lie: room for that many, and the checksum tells.
            val content = ByteArray(entry.size)
            var filled = 0
            while (filled < content.size && !inflater.finished()) {
                val count = inflater.inflate(content, filled, content.size - filled)
                if (count == 0 && !inflater.finished()) throw damaged(entry.name)
                filled += count
            }
            return content.copyOf(filled)
        } finally {
            inflater.end()
        }
    }

    /** Whether an archive that holds the file begins in the data, its end being lost. */
    private fun holdsLocalHeader(data: ByteBuffer, name: String): Boolean {
        val wanted = name.toByteArray(Charsets.UTF_8)
        for (at in 0..data.limit() - LOCAL_SIZE - wanted.size) {
            if (data.get(at) != 'P'.code.toByte() || data.getInt(at) != LOCAL) continue
            if (bytes(data, at + LOCAL_SIZE, wanted.size).contentEquals(wanted)) return true
        }
        return false
    }

    private fun unsigned(data: ByteBuffer, at: Int): Int = data.getShort(at).toInt() and 0xffff

    private fun text(data: ByteBuffer, at: Int, size: Int): String =
        bytes(data, at, size).toString(Charsets.UTF_8)

    private fun bytes(data: ByteBuffer, at: Int, size: Int): ByteArray {
        if (at < 0 || at.toLong() + size > data.limit()) throw IndexOutOfBoundsException()
        val view = data.duplicate()
        view.seek(at)
        return ByteArray(size).also { view.get(it) }
    }

    private fun damaged(name: String, cause: Throwable? = null) = ModelException(
        "${printable(name)} behind the model cannot be read: damaged zip archive; copy, download " +
            "or convert it again",
        cause,
    )

    private const val END = 0x06054b50
    private const val CENTRAL = 0x02014b50
    private const val LOCAL = 0x04034b50
    private const val END_SIZE = 22
    private const val LOCAL_SIZE = 30
    private const val MAX_COMMENT = 65535
    private const val STORED = 0
    private const val DEFLATED = 8
    private val METHODS = setOf(STORED, DEFLATED)
}
