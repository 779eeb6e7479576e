package org.effnetlite

import java.nio.ByteBuffer

/**
 * The tables of a .tflite file (tensorflow/lite/schema/schema.fbs, identifier TFL3): names, shapes
 * and quantization, but no weights. Checked so that a runtime does not crash on it.
 *
 * @param data The whole file, label archive included, from its position to its limit.
 * @throws ModelException Not such a file, damaged or cut short.
 */
internal class ModelFile(val data: ByteBuffer) {
    /** A value of the graph; [shape] is empty where the file has none. */
    class Tensor(
        val name: String,
        val shape: List<Int>,
        val type: Int,
        val buffer: Int,
        val sparse: Boolean,
        val scales: FloatArray,
        val zeroPoints: LongArray,
        val axis: Int,
    )

    /** A step of the graph; [kind] as in [Operators], inputs left out are -1. */
    class Operator(
        val kind: Int,
        val inputs: List<Int>,
        val outputs: List<Int>,
        val intermediates: List<Int>,
    )

    /** A model, or the body of a loop or a branch. */
    class Graph(
        val tensors: List<Tensor>,
        val inputs: List<Int>,
        val outputs: List<Int>,
        val operators: List<Operator>,
    )

    val graphs: List<Graph>
    val signatures: List<Signature>

    /** Names and buffers of the `Metadata` entries. */
    val metadata: List<Pair<String, Int>>

    private val flatBuffer = FlatBuffer(data, IDENTIFIER, "the model")
    private val buffers: List<Table>

    /** Which tensors of which graph a signature names. */
    class Signature(val graph: Int, val tensors: List<Int>)

    init {
        val model = flatBuffer.root()
        val version = model.int(VERSION)
        if (version != SCHEMA) {
            throw ModelException("expected a model of TFLite schema $SCHEMA, found $version")
        }
        buffers = model.tables(BUFFERS)
        val kinds = model.tables(OPERATOR_CODES).map { maxOf(it.int(CODE), it.byte(OLD_CODE)) }
        graphs = model.tables(SUBGRAPHS).map { graph(it, kinds) }
        metadata = model.tables(METADATA).map { Pair(it.string(0).orEmpty(), it.index(1)) }
        signatures = model.tables(SIGNATURES).map { signature ->
            val maps = signature.tables(0) + signature.tables(1)
            Signature(signature.index(SIGNATURE_GRAPH), maps.map { it.index(1) })
        }
        buffers.forEach { content(it) }
        checkTables(this, buffers.size)
    }

    /** The first graph, which a runtime runs. */
    val graph: Graph get() = graphs[0]

    /** The content of a `Metadata` entry; null where there is none of that name. */
    fun metadata(name: String): ByteBuffer? {
        val index = metadata.firstOrNull { it.first == name }?.second ?: return null
        return buffer(index) ?: ByteBuffer.allocate(0)
    }

    /** A tensor's constant values, little-endian; null where it is computed. */
    fun constant(tensor: Tensor): ByteBuffer? = if (tensor.buffer == 0) null else buffer(tensor.buffer)

    /**
     * An input or output of the first graph.
     *
     * @param what `input` or `output`, for messages.
     * @throws ModelException It has a type or shape that the library cannot handle.
     */
    fun info(tensor: Int, what: String): TensorInfo {
        val found = graph.tensors[tensor]
        val type = TensorType.ofCode(found.type) ?: throw ModelException(
            "expected an $what of type ${TensorType.entries.joinToString { it.dtype }}, found " +
                "type ${found.type} of schema.fbs"
        )
        val count = found.shape.fold(1L) { product, side ->
            if (side < 1 || product > MAX_VALUES) -1L else product * side
        }
        if (found.shape.isEmpty() || count < 1 || count > MAX_VALUES) {
            throw ModelException(
                "expected an $what of fixed shape and at most $MAX_VALUES values, found " +
                    "${found.shape}; convert the model with fixed shapes"
            )
        }
        val integer = type != TensorType.FLOAT32
        val scale = if (integer) found.scales.firstOrNull() ?: 0f else 0f
        if (!scale.isFinite() || scale < 0) {
            throw ModelException("expected an $what with a positive scale, found $scale")
        }
        val zeroPoint = if (scale != 0f) found.zeroPoints.firstOrNull() ?: 0L else 0L
        return TensorInfo(found.name, found.shape, type, scale, zeroPoint.toInt())
    }

    private fun buffer(index: Int): ByteBuffer? = content(buffers[index])

    /** The bytes of a buffer, which a file of more than 2 GB keeps behind its tables. */
    private fun content(buffer: Table): ByteBuffer? {
        val offset = buffer.long(BUFFER_OFFSET)
        // 0: not used; 1: a placeholder of the converter.
        if (offset == 0L || offset == 1L) return buffer.view(BUFFER_DATA)
        val size = buffer.long(BUFFER_SIZE)
        if (offset < 0 || size < 0 || offset > flatBuffer.size || size > flatBuffer.size) {
            throw ModelException("the model is cut short: a constant lies behind its end")
        }
        return flatBuffer.view(offset, size)
    }

    private fun graph(table: Table, kinds: List<Int>) = Graph(
        tensors = table.tables(GRAPH_TENSORS).map(::tensor),
        inputs = table.ints(GRAPH_INPUTS).toList(),
        outputs = table.ints(GRAPH_OUTPUTS).toList(),
        operators = table.tables(GRAPH_OPERATORS).map { operator(it, kinds) },
    )

    private fun tensor(table: Table): Tensor {
        val quantization = table.table(TENSOR_QUANTIZATION)
        return Tensor(
            name = table.string(TENSOR_NAME).orEmpty(),
            shape = table.ints(TENSOR_SHAPE).toList(),
            type = table.byte(TENSOR_TYPE),
            buffer = table.index(TENSOR_BUFFER),
            sparse = table.table(TENSOR_SPARSITY) != null,
            scales = quantization?.floats(QUANTIZATION_SCALE) ?: FloatArray(0),
            zeroPoints = quantization?.longs(QUANTIZATION_ZERO) ?: LongArray(0),
            axis = quantization?.int(QUANTIZATION_AXIS) ?: 0,
        )
    }

    private fun operator(table: Table, kinds: List<Int>): Operator {
        val code = table.index(OPERATOR_CODE)
        return Operator(
            kind = kinds.getOrNull(code) ?: throw ModelException(
                "the model is damaged: it refers to operator code $code, but has ${kinds.size}"
            ),
            inputs = table.ints(OPERATOR_INPUTS).toList(),
            outputs = table.ints(OPERATOR_OUTPUTS).toList(),
            intermediates = table.ints(OPERATOR_INTERMEDIATES).toList(),
        )
    }

    private companion object {
        const val IDENTIFIER = "TFL3"
        const val SCHEMA = 3
        const val MAX_VALUES = 256L * 1024 * 1024

        // Slots of schema.fbs.
        const val VERSION = 0
        const val OPERATOR_CODES = 1
        const val SUBGRAPHS = 2
        const val BUFFERS = 4
        const val METADATA = 6
        const val SIGNATURES = 7
        const val OLD_CODE = 0
        const val CODE = 3
        const val GRAPH_TENSORS = 0
        const val GRAPH_INPUTS = 1
        const val GRAPH_OUTPUTS = 2
        const val GRAPH_OPERATORS = 3
        const val TENSOR_SHAPE = 0
        const val TENSOR_TYPE = 1
        const val TENSOR_BUFFER = 2
        const val TENSOR_NAME = 3
        const val TENSOR_QUANTIZATION = 4
        const val TENSOR_SPARSITY = 6
        const val QUANTIZATION_SCALE = 2
        const val QUANTIZATION_ZERO = 3
        const val QUANTIZATION_AXIS = 6
        const val OPERATOR_CODE = 0
        const val OPERATOR_INPUTS = 1
        const val OPERATOR_OUTPUTS = 2
        const val OPERATOR_INTERMEDIATES = 8
        const val BUFFER_DATA = 0
        const val BUFFER_OFFSET = 1
        const val BUFFER_SIZE = 2
        const val SIGNATURE_GRAPH = 4
    }
}
