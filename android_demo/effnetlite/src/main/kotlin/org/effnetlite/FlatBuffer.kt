package org.effnetlite

import java.nio.ByteBuffer
import java.nio.ByteOrder

/**
 * A flatbuffer, read without trust in any offset.
 *
 * Every offset is checked before it is followed, and what was read is counted: damaged and hostile
 * files end in one [ModelException], and cannot make a small file take minutes or all memory.
 *
 * Format: https://flatbuffers.dev/internals/
 *
 * @param source Read from its position to its limit; bytes behind the flatbuffer do no harm.
 * @param identifier What bytes 4 to 8 must be.
 * @param what The file's name for messages, e.g. `the model`.
 * @throws ModelException Too short, or another identifier.
 */
internal class FlatBuffer(source: ByteBuffer, identifier: String, private val what: String) {
    private val data = source.slice().order(ByteOrder.LITTLE_ENDIAN)

    /** Bytes in all. */
    val size: Int get() = data.limit()

    private var left = STRUCTURE_BYTES

    init {
        val found = if (size < 8) "" else bytes(4, 4).toString(Charsets.ISO_8859_1)
        if (found != identifier) {
            throw ModelException(
                "$what is no flatbuffer of the kind $identifier: expected that identifier at " +
                    "byte 4, found ${printable(found)}"
            )
        }
    }

    /** The table that the first four bytes point to. */
    fun root(): Table = Table(this, follow(0))

    fun byte(at: Long): Int = data.get(checked(at, 1)).toInt()

    fun short(at: Long): Int = data.getShort(checked(at, 2)).toInt() and 0xffff

    fun int(at: Long): Int = data.getInt(checked(at, 4))

    fun float(at: Long): Float = data.getFloat(checked(at, 4))

    fun long(at: Long): Long = data.getLong(checked(at, 8))

    /** Where the unsigned offset stored at a position leads. */
    fun follow(at: Long): Long = at + (int(at).toLong() and 0xffffffffL)

    /** A copy of [count] bytes. */
    fun bytes(at: Long, count: Int): ByteArray {
        checked(at, count.toLong())
        val copy = ByteArray(count)
        for (index in 0 until count) copy[index] = data.get(at.toInt() + index)
        return copy
    }

    /** A view of [count] bytes, little-endian. */
    fun view(at: Long, count: Long): ByteBuffer {
        val view = data.duplicate()
        view.window(checked(at, count), count.toInt())
        return view.slice().order(ByteOrder.LITTLE_ENDIAN)
    }

    /** The position as an index, if [count] bytes from there are inside the data. */
    fun checked(at: Long, count: Long): Int {
        if (at < 0 || count < 0 || at + count > size) {
            throw ModelException(
                "$what is damaged or cut short: it refers to byte ${at + count} of $size; " +
                    "copy, download or convert it again"
            )
        }
        return at.toInt()
    }

    /** Counts bytes of tables and vectors as read. */
    fun spend(bytes: Long) {
        left -= bytes
        if (left < 0) {
            throw ModelException("$what is damaged: it claims more content than a model has")
        }
    }

    private companion object {
        // Without its weights, B7 has 2 MB. A phone's heap has room for some times as much.
        const val STRUCTURE_BYTES = 24L * 1024 * 1024
    }
}

/** A table; a field is named by its slot, its place in the schema counted from 0. */
internal class Table(private val buffer: FlatBuffer, private val position: Long) {
    private val vtable = position - buffer.int(position)
    private val vtableSize = buffer.short(vtable)

    init {
        buffer.spend(TABLE_COST)
    }

    fun byte(slot: Int, default: Int = 0): Int = field(slot)?.let(buffer::byte) ?: default

    fun int(slot: Int, default: Int = 0): Int = field(slot)?.let(buffer::int) ?: default

    fun long(slot: Int): Long = field(slot)?.let(buffer::long) ?: 0L

    /** An unsigned 32-bit index; one beyond what an Int holds is out of any range anyway. */
    fun index(slot: Int): Int = int(slot).let { if (it < 0) Int.MAX_VALUE else it }

    /** The text in a slot, undecodable bytes replaced; null where left out. */
    fun string(slot: Int): String? {
        val (start, count) = vector(slot, 1) ?: return null
        buffer.spend(count)
        return buffer.bytes(start, count.toInt()).toString(Charsets.UTF_8)
    }

    fun ints(slot: Int): IntArray = read(slot, 4, { IntArray(it) }) { array, index, at ->
        array[index] = buffer.int(at)
    } ?: IntArray(0)

    fun longs(slot: Int): LongArray = read(slot, 8, { LongArray(it) }) { array, index, at ->
        array[index] = buffer.long(at)
    } ?: LongArray(0)

    fun floats(slot: Int): FloatArray? = read(slot, 4, { FloatArray(it) }) { array, index, at ->
        array[index] = buffer.float(at)
    }

    /** The table in a slot; null where left out. */
    fun table(slot: Int): Table? = field(slot)?.let { Table(buffer, buffer.follow(it)) }

    /** The vector of tables in a slot; empty where left out. */
    fun tables(slot: Int): List<Table> {
        val (start, count) = vector(slot, 4) ?: return emptyList()
        buffer.spend(4 * count)
        return List(count.toInt()) { Table(buffer, buffer.follow(start + 4L * it)) }
    }

    /** A view of the [ubyte] vector in a slot, which is not counted; null where left out. */
    fun view(slot: Int): ByteBuffer? = vector(slot, 1)?.let { buffer.view(it.first, it.second) }

    private fun <A> read(
        slot: Int,
        size: Int,
        make: (Int) -> A,
        set: (A, Int, Long) -> Unit,
    ): A? {
        val (start, count) = vector(slot, size) ?: return null
        buffer.spend(count * size)
        val array = make(count.toInt())
        for (index in 0 until count.toInt()) set(array, index, start + index.toLong() * size)
        return array
    }

    /** Start and length of a vector that is inside the data. */
    private fun vector(slot: Int, itemSize: Int): Pair<Long, Long>? {
        val start = buffer.follow(field(slot) ?: return null)
        val count = buffer.int(start).toLong() and 0xffffffffL
        buffer.checked(start + 4, count * itemSize)
        return Pair(start + 4, count)
    }

    private fun field(slot: Int): Long? {
        val entry = 4 + 2 * slot
        if (entry + 2 > vtableSize) return null
        val offset = buffer.short(vtable + entry)
        return if (offset == 0) null else position + offset
    }

    private companion object {
        // About what the objects for one table take.
        const val TABLE_COST = 64L
    }
}

/** Text of a file as a message can show it: quoted, other than ASCII as question marks. */
internal fun printable(text: String): String =
    if (text.isEmpty()) "nothing" else "'" + text.map { if (it in ' '..'~') it else '?' }
        .joinToString("") + "'"
