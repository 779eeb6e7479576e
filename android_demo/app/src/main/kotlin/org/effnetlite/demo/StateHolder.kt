package org.effnetlite.demo

/**
 * An immutable state that is replaced on the main thread, and the screen that shows it.
 *
 * Outlives the screen when the device is turned ([RetainingActivity]), so it must not keep one:
 * a screen observes while it is visible and no longer.
 */
abstract class StateHolder<S : Any>(initial: S) : AutoCloseable {
    private var observer: ((S) -> Unit)? = null

    /** The latest. */
    var state: S = initial
        private set

    /** Calls with the state now and whenever it changes; null ends it. */
    fun observe(observer: ((S) -> Unit)?) {
        this.observer = observer
        observer?.invoke(state)
    }

    protected fun update(change: S.() -> S) {
        val next = state.change()
        if (next == state) return
        state = next
        observer?.invoke(next)
    }
}
