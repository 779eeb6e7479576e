package org.effnetlite

import java.nio.Buffer
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.MappedByteBuffer

// Since Java 9 ByteBuffer overrides these with another return type, which code that is compiled
// against it calls and old Android versions lack. Called on Buffer, they are there everywhere.

/** Sets position and limit. */
internal fun Buffer.window(start: Int, count: Int) {
    clear()
    position(start)
    limit(start + count)
}

/** Back to the start, for the next to read or write it all. */
internal fun Buffer.restart() {
    clear()
}

/** Goes to a position. */
internal fun Buffer.seek(position: Int) {
    position(position)
}

/** A buffer for a tensor, as a runtime takes it. */
internal fun directBuffer(bytes: Int): ByteBuffer =
    ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder())

/**
 * A model as a runtime takes it: a view of a direct or mapped buffer, else a copy.
 *
 * @throws ModelException There is no memory for the copy.
 */
internal fun directCopy(model: ByteBuffer): ByteBuffer {
    if (model.isDirect || model is MappedByteBuffer) {
        return model.slice().order(ByteOrder.nativeOrder())
    }
    try {
        val copy = directBuffer(model.remaining())
        copy.put(model.duplicate())
        copy.restart()
        return copy
    } catch (error: OutOfMemoryError) {
        throw ModelException("no memory for a model of ${model.remaining()} bytes", error)
    }
}
