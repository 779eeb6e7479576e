package org.effnetlite

import java.nio.ByteBuffer

/**
 * Class activation maps, `M_k(x, y) = sum over c of w_kc * A_c(x, y)`, with A the last feature map
 * before global average pooling and w the classifier's weights (Zhou et al., CVPR 2016, equation
 * 2), as benchmark/activation_map.py computes them.
 *
 * A is the model's second output; w is read from the file. Both are dequantized.
 *
 * @property features The second output, `(1, rows, columns, channels)`.
 */
internal class ActivationMapper private constructor(
    val features: TensorInfo,
    private val file: ModelFile,
    private val weights: ModelFile.Tensor,
) {
    private val rows = features.shape[1]
    private val columns = features.shape[2]
    private val channels = features.shape[3]

    /**
     * The map of an output.
     *
     * @param raw The second output as the model wrote it, in native byte order.
     */
    fun map(raw: ByteBuffer, classIndex: Int): ActivationMap {
        val row = weightRow(classIndex)
        val values = FloatArray(rows * columns) { place ->
            var sum = 0.0
            for (channel in 0 until channels) {
                sum += row[channel] * real(raw, features, place * channels + channel)
            }
            sum.toFloat()
        }
        return ActivationMap(classIndex, rows, columns, values)
    }

    /** The classifier's weights for an output as reals, one a channel. */
    private fun weightRow(classIndex: Int): DoubleArray {
        val data = file.constant(weights) ?: ByteBuffer.allocate(0)
        val perChannel = weights.scales.size > 1
        return DoubleArray(channels) { channel ->
            val index = if (perChannel && weights.axis != 0) channel else classIndex
            val stored = stored(data, weights.type, classIndex * channels + channel)
            when {
                weights.scales.isEmpty() -> stored
                perChannel -> dequantized(stored, index)
                else -> dequantized(stored, 0)
            }
        }
    }

    private fun dequantized(stored: Double, index: Int): Double {
        val zeros = weights.zeroPoints
        val zero = if (zeros.size == weights.scales.size) zeros[index] else 0L
        // float32, as Python keeps weights.
        return ((stored - zero) * weights.scales[index]).toFloat().toDouble()
    }

    companion object {
        // schema.fbs, enum TensorType: code to bytes of a value.
        private const val FLOAT32 = 0
        private const val FLOAT16 = 1
        private const val INT32 = 2
        private const val UINT8 = 3
        private const val INT16 = 7
        private const val INT8 = 9
        private val BYTES = mapOf(FLOAT32 to 4, FLOAT16 to 2, INT32 to 4, UINT8 to 1, INT16 to 2, INT8 to 1)

        /**
         * The mapper of a model whose second output is what its classifier pools; null for any
         * other model, and for weights that cannot be read.
         */
        fun of(file: ModelFile): ActivationMapper? {
            if (file.graphs.size != 1 || file.graph.outputs.size < 2) return null
            val head = PooledHead.of(file.graph) ?: return null
            val back = Backwards(file.graph)
            val second = file.graph.outputs[1]
            if (back.skip(second, emptySet()) != back.skip(head.features, emptySet())) return null
            val features = try {
                file.info(second, "output")
            } catch (_: ModelException) {
                return null // of a type that the library cannot take; the model works without it
            }
            val weights = file.graph.tensors[head.weights]
            val fits = features.shape.size == 4 && features.shape[0] == 1 &&
                matches(file, weights, features.shape[3], file.graph.tensors[head.logits].shape)
            return if (fits) ActivationMapper(features, file, weights) else null
        }

        /** Whether the weights are constants of shape (classes, channels), dense or a 1x1 kernel. */
        private fun matches(
            file: ModelFile,
            weights: ModelFile.Tensor,
            channels: Int,
            logits: List<Int>,
        ): Boolean {
            val classes = logits.lastOrNull() ?: return false
            val shape = weights.shape
            val expected = listOf(listOf(classes, channels), listOf(classes, 1, 1, channels))
            val bytes = BYTES[weights.type] ?: return false
            val scaled = weights.type == FLOAT32 || weights.type == FLOAT16 ||
                weights.scales.isNotEmpty()
            val scales = weights.scales.size <= 1 ||
                weights.axis in shape.indices && weights.scales.size == shape[weights.axis] &&
                (weights.axis == 0 || weights.axis == shape.size - 1)
            return shape in expected && !weights.sparse && scaled && scales &&
                file.constant(weights)?.remaining()?.toLong() == classes.toLong() * channels * bytes
        }

        private fun stored(data: ByteBuffer, type: Int, index: Int): Double = when (type) {
            FLOAT32 -> data.getFloat(4 * index).toDouble()
            FLOAT16 -> halfToFloat(data.getShort(2 * index)).toDouble()
            INT32 -> data.getInt(4 * index).toDouble()
            INT16 -> data.getShort(2 * index).toDouble()
            UINT8 -> (data.get(index).toInt() and 0xff).toDouble()
            else -> data.get(index).toDouble()
        }
    }
}

/**
 * A classifier right behind global average pooling, as quantize/tflite/surgery.py finds it.
 *
 * @property features The tensor that is pooled.
 * @property weights The constant tensor of the dense layer or 1x1 convolution.
 * @property logits The tensor that it writes.
 */
private class PooledHead(val features: Int, val weights: Int, val logits: Int) {
    companion object {
        fun of(graph: ModelFile.Graph): PooledHead? {
            val back = Backwards(graph)
            val logits = back.skip(graph.outputs[0], Operators.RESHAPES + Operators.SQUASHES)
            val classifier = back.writer(logits, CLASSIFIERS) ?: return null
            val pooled = back.skip(classifier.inputs[0], Operators.RESHAPES)
            val pooling = back.writer(pooled, POOLINGS) ?: return null
            val weights = back.skip(classifier.inputs[1], emptySet())
            return PooledHead(pooling.inputs[0], weights, logits)
        }

        private val CLASSIFIERS = setOf(Operators.FULLY_CONNECTED, Operators.CONV_2D)
        private val POOLINGS = setOf(Operators.AVERAGE_POOL_2D, Operators.MEAN)
    }
}

/** From a tensor to what it was computed from. */
private class Backwards(private val graph: ModelFile.Graph) {
    private val writers: Map<Int, ModelFile.Operator> = buildMap {
        for (operator in graph.operators) for (tensor in operator.outputs) put(tensor, operator)
    }

    /** The tensor behind operators of these kinds and conversions. */
    fun skip(tensor: Int, kinds: Set<Int>): Int {
        var found = tensor
        repeat(writers.size) { // no more steps than that, even in a graph that is a ring
            val writer = writers[found] ?: return found
            val passes = writer.kind in Operators.CONVERSIONS || writer.kind in kinds
            if (!passes || writer.inputs.isEmpty() || writer.inputs[0] < 0) return found
            found = writer.inputs[0]
        }
        return found
    }

    /** The operator that writes a tensor, if it is of these kinds. */
    fun writer(tensor: Int, kinds: Set<Int>): ModelFile.Operator? = writers[tensor]?.takeIf {
        it.kind in kinds && it.inputs.size >= Operators.neededInputs(it.kind)
    }
}
