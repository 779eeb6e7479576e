package org.effnetlite

import android.content.Context
import android.os.Build
import org.tensorflow.lite.DataType
import org.tensorflow.lite.Interpreter
import org.tensorflow.lite.Tensor
import org.tensorflow.lite.TensorFlowLite
import org.tensorflow.lite.gpu.CompatibilityList
import org.tensorflow.lite.gpu.GpuDelegate
import org.tensorflow.lite.nnapi.NnApiDelegate
import java.nio.ByteBuffer
import org.tensorflow.lite.Delegate as TfliteDelegate

/**
 * TensorFlow Lite for Android, `org.tensorflow:tensorflow-lite`, or LiteRT 1.x, which has the same
 * classes.
 *
 * TFLite's Java classes cannot load the library of an external delegate by themselves. What they
 * take is a [TfliteDelegate]: an object that knows the address of a native delegate. A vendor's AAR
 * brings one (Qualcomm's `QnnDelegate`, say); for a bare library that exports
 * `tflite_plugin_create_delegate`, write it with a few lines of JNI that call `dlopen`, `dlsym` and
 * that function. Pass either as [external].
 *
 * @property context Its code cache keeps the GPU's compiled programs from start to start; null
 *   compiles them each time.
 * @property external Makes a delegate of a library's name and options; what it throws is the reason
 *   why the delegate is refused.
 * @property anyGpu Try GPUs that TFLite does not know to work, too; a driver's fault may then end
 *   the app.
 */
class TfliteEngines(
    private val context: Context? = null,
    private val external: ((Delegate.External) -> TfliteDelegate)? = null,
    private val anyGpu: Boolean = false,
) : EngineFactory {
    override fun open(model: ByteBuffer, delegate: Delegate, threads: Int): Engine {
        var loaded: TfliteDelegate? = null
        try {
            loaded = load(model, delegate)
            val options = Interpreter.Options()
                .setNumThreads(threads)
                .setUseXNNPACK(delegate != Delegate.CpuBuiltin)
            loaded?.let(options::addDelegate)
            return TfliteEngine(Interpreter(model, options), loaded)
        } catch (failure: DelegateException) {
            loaded?.close()
            throw failure
        } catch (failure: RuntimeException) { // what Interpreter throws where it is refused
            loaded?.close()
            throw DelegateException(failure.oneLine(), failure)
        } catch (failure: LinkageError) { // a library that is not in the app, or not for its ABI
            loaded?.close()
            throw DelegateException("is not in this app: ${failure.oneLine()}", failure)
        }
    }

    private fun load(model: ByteBuffer, delegate: Delegate): TfliteDelegate? = when (delegate) {
        Delegate.Cpu, Delegate.CpuBuiltin -> null
        Delegate.Gpu -> gpu(model)
        Delegate.Nnapi -> nnapi()
        is Delegate.External -> external(delegate)
    }

    private fun gpu(model: ByteBuffer): TfliteDelegate {
        val options = CompatibilityList().use {
            if (!it.isDelegateSupportedOnThisDevice && !anyGpu) {
                throw DelegateException("this device's GPU is not among those known to work")
            }
            it.bestOptionsForThisDevice
        }
        context?.let {
            // Programs belong to one model and one release of the runtime.
            val token = "effnetlite-${TensorFlowLite.runtimeVersion()}-${model.hashCode()}"
            options.setSerializationParams(it.codeCacheDir.path, token)
        }
        return GpuDelegate(options)
    }

    private fun nnapi(): TfliteDelegate {
        if (Build.VERSION.SDK_INT < Build.VERSION_CODES.O_MR1) {
            throw DelegateException(
                "expected Android 8.1 (API 27) or later, found API ${Build.VERSION.SDK_INT}"
            )
        }
        // Without the accelerators' drivers NNAPI has only a slow CPU of its own.
        return NnApiDelegate(NnApiDelegate.Options().setUseNnapiCpu(false))
    }

    private fun external(delegate: Delegate.External): TfliteDelegate {
        val loader = external ?: throw DelegateException(
            "TFLite's Java classes cannot load ${delegate.library} by themselves; pass " +
                "TfliteEngines(external = { its delegate })"
        )
        return try {
            loader(delegate)
        } catch (failure: Exception) { // whatever the app's own code throws
            throw DelegateException("${delegate.library}: ${failure.oneLine()}", failure)
        }
    }
}

/** One interpreter, and the delegate that must outlive it. */
private class TfliteEngine(
    private val interpreter: Interpreter,
    private val delegate: TfliteDelegate?,
) : Engine {
    override val runtime = "tensorflow-lite"
    override val runtimeVersion: String = TensorFlowLite.runtimeVersion()
    override val inputs: List<TensorInfo>
    override val outputs: List<TensorInfo>

    private val inputArray = arrayOfNulls<Any>(1)
    private val outputMap = HashMap<Int, Any>()

    init {
        try {
            interpreter.allocateTensors()
            inputs = List(interpreter.inputTensorCount) { info(interpreter.getInputTensor(it)) }
            outputs = List(interpreter.outputTensorCount) { info(interpreter.getOutputTensor(it)) }
        } catch (failure: Throwable) {
            interpreter.close() // the delegate is closed by who loaded it
            throw failure
        }
    }

    override fun run(input: ByteBuffer, outputs: List<ByteBuffer>) {
        input.restart()
        inputArray[0] = input
        for ((index, output) in outputs.withIndex()) {
            output.restart()
            outputMap[index] = output
        }
        try {
            interpreter.runForMultipleInputsOutputs(inputArray, outputMap)
        } catch (failure: RuntimeException) { // IllegalArgument and IllegalState
            throw DelegateException(failure.oneLine(), failure)
        }
    }

    override fun close() {
        interpreter.close()
        delegate?.close()
    }

    private companion object {
        fun info(tensor: Tensor): TensorInfo {
            val type = TYPES[tensor.dataType()] ?: throw DelegateException(
                "the model has an input or output of type ${tensor.dataType()}"
            )
            val quantization = tensor.quantizationParams()
            return TensorInfo(
                tensor.name(), tensor.shape().toList(), type,
                quantization.scale, quantization.zeroPoint,
            )
        }

        val TYPES = mapOf(
            DataType.FLOAT32 to TensorType.FLOAT32,
            DataType.UINT8 to TensorType.UINT8,
            DataType.INT16 to TensorType.INT16,
            DataType.INT8 to TensorType.INT8,
        )
    }
}
