package org.effnetlite.demo.benchmark

// MAX_SPREAD of benchmark/host/conditions.py: from the 10th to the 90th percentile, of the median.
private const val MAX_SPREAD = 0.25

/**
 * Why figures may be off, a sentence each, in the words of `effnet-lite benchmark`.
 *
 * @param hidden Whether the app left the screen meanwhile: Android gives it less of the processor.
 */
fun noise(
    device: Device,
    before: DeviceState,
    after: DeviceState,
    times: DoubleArray,
    hidden: Boolean,
): List<String> = listOfNotNull(
    "this is an emulator: its times say nothing about a phone".takeIf { device.emulator },
    throttled(maxOf(before.throttling ?: 0, after.throttling ?: 0)),
    capped(before.capsKhz, after.capsKhz),
    "the battery saver is on".takeIf { before.powerSaving || after.powerSaving },
    "the app was not on the screen all the time".takeIf { hidden },
    spread(times),
)

private fun throttled(status: Int): String? =
    "the device throttled itself: thermal status $status (${throttlingName(status)})"
        .takeIf { status > 0 }

private fun capped(before: List<Int>, after: List<Int>): String? {
    if (before.size != after.size) return null // cores were switched on or off
    val slower = before.indices.filter { after[it] < before[it] }
    val core = slower.minByOrNull { after[it].toDouble() / before[it] } ?: return null
    return "the clock was capped meanwhile on ${slower.size} of ${before.size} cores, core $core " +
        "to ${gigahertz(after[core])} of ${gigahertz(before[core])} GHz"
}

private fun spread(times: DoubleArray): String? {
    val spread = (percentile(times, 90.0) - percentile(times, 10.0)) / percentile(times, 50.0)
    if (spread <= MAX_SPREAD) return null
    return "runs differ by ${whole(spread)} of the median (10th to 90th percentile; " +
        "${whole(MAX_SPREAD)} is the limit)"
}

private fun gigahertz(khz: Int): String = String.format(java.util.Locale.ROOT, "%.2f", khz / 1e6)

private fun whole(share: Double): String = "${Math.round(100 * share)}%"
