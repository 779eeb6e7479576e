package org.effnetlite

import java.util.concurrent.Callable
import java.util.concurrent.ExecutionException
import java.util.concurrent.Executors
import java.util.concurrent.Future
import java.util.concurrent.RejectedExecutionException
import java.util.concurrent.TimeUnit

/**
 * One thread that does one task after the other while its callers wait.
 *
 * @param name Of the thread.
 */
internal class Worker(name: String) {
    private val executor = Executors.newSingleThreadExecutor { task ->
        Thread(task, name).apply { isDaemon = true }
    }
    private val closing = Any()
    private var closed = false

    /**
     * The task's result, or what it threw.
     *
     * An interrupt of the caller does not end the wait: the task reads the caller's bitmap. The
     * thread is interrupted again when it is done.
     *
     * @throws IllegalStateException After [close].
     */
    fun <T> run(task: () -> T): T {
        val future = try {
            executor.submit(Callable { task() })
        } catch (error: RejectedExecutionException) {
            throw IllegalStateException("this EffNetLite is closed; create another", error)
        }
        return uninterruptibly { result(future) }
    }

    /**
     * Does a last task behind all that wait, then ends the thread; returns when that is done. Only
     * the first call's task is done.
     */
    fun close(last: () -> Unit) {
        val task = synchronized(closing) {
            if (closed) return@synchronized null
            closed = true
            executor.submit(last).also { executor.shutdown() }
        }
        uninterruptibly {
            if (task != null) result(task)
            executor.awaitTermination(Long.MAX_VALUE, TimeUnit.NANOSECONDS)
        }
    }

    private fun <T> result(future: Future<T>): T = try {
        future.get()
    } catch (error: ExecutionException) {
        throw error.cause ?: error
    }

    private fun <T> uninterruptibly(wait: () -> T): T {
        var interrupted = false
        try {
            while (true) {
                try {
                    return wait()
                } catch (_: InterruptedException) {
                    interrupted = true
                }
            }
        } finally {
            if (interrupted) Thread.currentThread().interrupt()
        }
    }
}
