package org.effnetlite

import java.nio.ByteBuffer

/** A value of a tensor as the model wrote it. */
internal fun raw(data: ByteBuffer, type: TensorType, index: Int): Float = when (type) {
    TensorType.FLOAT32 -> data.getFloat(4 * index)
    TensorType.UINT8 -> (data.get(index).toInt() and 0xff).toFloat()
    TensorType.INT16 -> data.getShort(2 * index).toFloat()
    TensorType.INT8 -> data.get(index).toFloat()
}

/** A value of a tensor as a real, in float32 as NumPy computes it. */
internal fun real(data: ByteBuffer, info: TensorInfo, index: Int): Float {
    val value = raw(data, info.type, index)
    return if (info.quantized) (value - info.zeroPoint) * info.scale else value
}
