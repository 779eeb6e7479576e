package org.effnetlite.testing

import org.bytedeco.javacpp.BytePointer
import org.bytedeco.javacpp.Pointer
import org.bytedeco.tensorflowlite.BuiltinOpResolver
import org.bytedeco.tensorflowlite.BuiltinOpResolverWithXNNPACK
import org.bytedeco.tensorflowlite.BuiltinOpResolverWithoutDefaultDelegates
import org.bytedeco.tensorflowlite.FlatBufferModel
import org.bytedeco.tensorflowlite.FlatBufferModelBase
import org.bytedeco.tensorflowlite.Interpreter
import org.bytedeco.tensorflowlite.InterpreterBuilder
import org.bytedeco.tensorflowlite.TfLiteTensor
import org.bytedeco.tensorflowlite.global.tensorflowlite
import org.effnetlite.Delegate
import org.effnetlite.DelegateException
import org.effnetlite.Engine
import org.effnetlite.EngineFactory
import org.effnetlite.TensorInfo
import org.effnetlite.TensorType
import java.nio.ByteBuffer
import java.nio.ByteOrder

/**
 * TFLite for the desktop's JVM (`org.bytedeco:tensorflow-lite`), so that tests run real inference.
 * It has XNNPACK and the built-in kernels, and refuses every other delegate.
 */
class DesktopEngines : EngineFactory {
    override fun open(model: ByteBuffer, delegate: Delegate, threads: Int): Engine {
        val resolver = when (delegate) {
            Delegate.Cpu -> BuiltinOpResolverWithXNNPACK()
            Delegate.CpuBuiltin -> BuiltinOpResolverWithoutDefaultDelegates()
            else -> throw DelegateException("this desktop has no ${delegate.label}")
        }
        return DesktopEngine(model, resolver, threads)
    }
}

/** One interpreter with what it refers to. */
private class DesktopEngine(
    model: ByteBuffer,
    private val resolver: BuiltinOpResolver,
    threads: Int,
) : Engine {
    override val runtime = "tensorflow-lite"
    override val runtimeVersion: String = tensorflowlite.TfLiteVersion().string
    override val inputs: List<TensorInfo>
    override val outputs: List<TensorInfo>

    // The interpreter refers to the model's bytes. No other BytePointer may be made of this one:
    // when that is collected, JavaCPP frees the memory of both.
    private val bytes = BytePointer(model.remaining().toLong()).apply {
        put(*ByteArray(model.remaining()).also { model.duplicate().get(it) })
    }
    private val file: FlatBufferModel? =
        FlatBufferModelBase.VerifyAndBuildFromBuffer(bytes, bytes.capacity())
    private val interpreter = Interpreter(null as Pointer?)

    init {
        if (file == null || file.isNull || !built(threads)) {
            close()
            throw DelegateException("TFLite refuses the model")
        }
        inputs = List(interpreter.inputs().limit().toInt()) { info(input(it)) }
        outputs = List(interpreter.outputs().limit().toInt()) { info(output(it)) }
    }

    override fun run(input: ByteBuffer, outputs: List<ByteBuffer>) {
        input(0).memory().put(input.duplicate().apply { clear() })
        if (interpreter.Invoke() != OK) throw DelegateException("TFLite fails while it runs")
        for ((index, output) in outputs.withIndex()) {
            output.clear()
            output.put(output(index).memory())
        }
    }

    private fun built(threads: Int): Boolean {
        val builder = InterpreterBuilder(file, resolver)
        val status = builder.apply(interpreter, threads)
        builder.close()
        return status == OK && !interpreter.isNull && interpreter.AllocateTensors() == OK
    }

    private fun input(index: Int): TfLiteTensor = interpreter.input_tensor(index.toLong())

    private fun output(index: Int): TfLiteTensor = interpreter.output_tensor(index.toLong())

    override fun close() {
        interpreter.close()
        file?.close()
        resolver.close()
        bytes.close()
    }

    private companion object {
        const val OK = 0

        // common.h, enum TfLiteType.
        val TYPES = mapOf(
            1 to TensorType.FLOAT32, 3 to TensorType.UINT8, 7 to TensorType.INT16,
            9 to TensorType.INT8,
        )

        fun info(tensor: TfLiteTensor): TensorInfo {
            val type = TYPES[tensor.type()]
                ?: throw DelegateException("a tensor has the type ${tensor.type()}")
            val dims = tensor.dims()
            val shape = List(dims.size()) { dims.data(it) }
            val params = tensor.params()
            return TensorInfo(tensor.name().string, shape, type, params.scale(), params.zero_point())
        }

        fun TfLiteTensor.memory(): ByteBuffer =
            BytePointer(data().data()).capacity(bytes()).asByteBuffer().order(ByteOrder.nativeOrder())
    }
}
