package org.effnetlite.demo

import android.content.Intent
import android.content.res.Resources
import android.os.Bundle
import org.effnetlite.Delegate
import org.effnetlite.Options

/**
 * What the user chose.
 *
 * @property delegate Tried first; the library falls back to the CPU.
 * @property threads CPU threads.
 * @property map Whether to show where the model looked.
 */
data class Settings(
    val delegate: Delegate = Delegate.Cpu,
    val threads: Int = THREADS.last { it <= 4 },
    val map: Boolean = false,
) {
    /** For the library. */
    val options: Options get() = Options(delegates = listOf(delegate), threads = threads)

    /** Written where [of] finds it again. */
    fun writeTo(bundle: Bundle) {
        bundle.putString(DELEGATE_KEY, delegate.label)
        bundle.putInt(THREADS_KEY, threads)
        bundle.putBoolean(MAP_KEY, map)
    }

    /** The same for another screen. */
    fun writeTo(intent: Intent): Intent = intent.putExtras(Bundle().also { writeTo(it) })

    companion object {
        /** What the screens offer; a vendor's delegate needs its library, see the README. */
        val DELEGATES: List<Delegate> =
            listOf(Delegate.Cpu, Delegate.CpuBuiltin, Delegate.Gpu, Delegate.Nnapi)

        /** Numbers of threads that the screens offer: no more than this device has cores. */
        val THREADS: List<Int> =
            listOf(1, 2, 3, 4, 6, 8).filter { it <= Runtime.getRuntime().availableProcessors() }

        /** What [writeTo] wrote; the defaults where there is nothing, or something else. */
        fun of(bundle: Bundle?): Settings {
            val defaults = Settings()
            if (bundle == null) return defaults
            val label = bundle.getString(DELEGATE_KEY)
            return Settings(
                DELEGATES.firstOrNull { it.label == label } ?: defaults.delegate,
                bundle.getInt(THREADS_KEY).takeIf { it in THREADS } ?: defaults.threads,
                bundle.getBoolean(MAP_KEY),
            )
        }

        private const val DELEGATE_KEY = "delegate"
        private const val THREADS_KEY = "threads"
        private const val MAP_KEY = "map"
    }
}

/** A delegate's name for people. */
fun Delegate.title(resources: Resources): String = when (this) {
    Delegate.Cpu -> resources.getString(R.string.delegate_cpu)
    Delegate.CpuBuiltin -> resources.getString(R.string.delegate_none)
    Delegate.Gpu -> resources.getString(R.string.delegate_gpu)
    Delegate.Nnapi -> resources.getString(R.string.delegate_nnapi)
    is Delegate.External -> label
}
