package org.effnetlite

/**
 * Refuses tables that do not fit together: what a runtime takes on trust and crashes on. The same
 * rules as quantize/tflite/check.py.
 *
 * @param buffers How many the file has.
 * @throws ModelException An index is out of range, or a zero point beyond its type.
 */
internal fun checkTables(model: ModelFile, buffers: Int) {
    if (model.graphs.isEmpty()) throw ModelException("the model has no subgraph")
    for (graph in model.graphs) checkGraph(graph, buffers)
    inRange("buffer", model.metadata.map { it.second }, 0, buffers)
    for (signature in model.signatures) {
        inRange("subgraph", listOf(signature.graph), 0, model.graphs.size)
        inRange("tensor", signature.tensors, 0, model.graphs[signature.graph].tensors.size)
    }
}

private fun checkGraph(graph: ModelFile.Graph, buffers: Int) {
    val tensors = graph.tensors.size
    inRange("buffer", graph.tensors.map { it.buffer }, 0, buffers)
    inRange("tensor", graph.inputs, 0, tensors)
    inRange("tensor", graph.outputs, 0, tensors)
    for (operator in graph.operators) {
        val least = Operators.neededInputs(operator.kind)
        inRange("tensor", operator.inputs.take(least), 0, tensors)
        inRange("tensor", operator.inputs.drop(least), -1, tensors) // -1: left out
        inRange("tensor", operator.outputs, 0, tensors)
        inRange("tensor", operator.intermediates, -1, tensors)
    }
    for (tensor in graph.tensors) checkZeroPoints(tensor)
}

/** Kernels fill tables of 256 entries by them. */
private fun checkZeroPoints(tensor: ModelFile.Tensor) {
    val range = when (tensor.type) {
        TensorType.INT8.code -> -128L..127L
        TensorType.UINT8.code -> 0L..255L
        else -> return
    }
    tensor.zeroPoints.firstOrNull { it !in range }?.let {
        throw ModelException("the model has a zero point of $it, beyond $range; convert it again")
    }
}

private fun inRange(what: String, indices: List<Int>, low: Int, count: Int) {
    indices.firstOrNull { it !in low until count }?.let {
        throw ModelException("the model is damaged: it refers to $what $it, but has $count")
    }
}
