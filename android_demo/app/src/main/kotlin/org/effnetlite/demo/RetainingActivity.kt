package org.effnetlite.demo

import android.app.Activity
import android.os.Bundle

/**
 * A screen whose state holder goes on to its next instance when the device is turned, and is
 * closed with the last one. (The framework's way: `ViewModel` would need androidx.)
 */
abstract class RetainingActivity<S : Any, M : StateHolder<S>> : Activity() {
    protected lateinit var holder: M
        private set

    /** Makes the holder for a screen that is new; `saved` is its state if the system ended it. */
    protected abstract fun createHolder(saved: Bundle?): M

    /** Shows a state; called from [onStart] to [onStop], on the main thread. */
    protected abstract fun render(state: S)

    protected val demo: DemoApp get() = application as DemoApp

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        @Suppress("UNCHECKED_CAST") // ours, see below
        holder = lastNonConfigurationInstance as M? ?: createHolder(savedInstanceState)
    }

    override fun onStart() {
        super.onStart()
        holder.observe(::render)
    }

    override fun onStop() {
        holder.observe(null)
        super.onStop()
    }

    override fun onDestroy() {
        if (!isChangingConfigurations) holder.close()
        super.onDestroy()
    }

    override fun onRetainNonConfigurationInstance(): Any = holder
}
