package org.effnetlite.demo.benchmark

import android.content.Context
import android.os.BatteryManager
import android.os.Build
import android.os.PowerManager
import android.os.Process
import java.io.File
import java.io.IOException
import org.json.JSONArray
import org.json.JSONObject

/**
 * What this device is, as `effnet-lite benchmark --device adb` says it (benchmark/adb/device.py).
 *
 * @property soc Null where the device does not say.
 * @property abi That this process runs as.
 */
class Device(
    private val maker: String = Build.MANUFACTURER,
    private val model: String = Build.MODEL,
    val soc: String? = systemOnChip(),
    val abi: String? = processAbi(),
    val emulator: Boolean = Build.HARDWARE in setOf("ranchu", "goldfish"),
    private val android: String = Build.VERSION.RELEASE,
    private val sdk: Int = Build.VERSION.SDK_INT,
) {
    /** Maker, model and SoC. */
    val name: String
        get() {
            val name = listOf(maker, model).filter { it.isNotEmpty() }.joinToString(" ")
                .ifEmpty { "unnamed device" }
            return if (soc == null) name else "$name ($soc)"
        }

    /** For `conditions` of a record. */
    fun toJson(): JSONObject = JSONObject().apply {
        soc?.let { put("soc", it) }
        put("android", android)
        put("sdk", sdk)
        abi?.let { put("abi", it) }
        if (emulator) put("emulator", true)
    }
}

/**
 * How warm and how fast the device is now; null or empty is what it does not tell an app.
 *
 * @property governors, capsKhz By core: who sets the clock, and what is allowed now.
 * @property throttling `PowerManager.THERMAL_STATUS_…`.
 * @property battery Percent.
 */
data class DeviceState(
    val governors: List<String>,
    val capsKhz: List<Int>,
    val throttling: Int?,
    val battery: Int?,
    val powerSaving: Boolean,
) {
    /** For `conditions` of a record. */
    fun toJson(): JSONObject = JSONObject().apply {
        if (governors.isNotEmpty()) put("governors", JSONArray(governors.distinct().sorted()))
        if (capsKhz.isNotEmpty()) put("caps_khz", JSONArray(capsKhz))
        throttling?.let { put("throttling", throttlingName(it)) }
        battery?.let { put("battery_percent", it) }
        if (powerSaving) put("power_saving", true)
    }

    companion object {
        /** @param root Where /sys is. */
        fun read(context: Context, root: File = File("/")): DeviceState {
            val power = context.getSystemService(PowerManager::class.java)
            val battery = context.getSystemService(BatteryManager::class.java)
                ?.getIntProperty(BatteryManager.BATTERY_PROPERTY_CAPACITY)
            val cores = File(root, "sys/devices/system/cpu").listFiles().orEmpty()
                .filter { it.name.matches(Regex("cpu[0-9]+")) }
                .sortedBy { it.name.drop(3).toInt() }
            fun each(name: String) = cores.mapNotNull { firstLine(File(it, "cpufreq/$name")) }
            return DeviceState(
                governors = each("scaling_governor"),
                capsKhz = each("scaling_max_freq").mapNotNull { it.toIntOrNull() },
                throttling = if (Build.VERSION.SDK_INT >= 29) power?.currentThermalStatus else null,
                battery = battery?.takeIf { it in 0..100 },
                powerSaving = power?.isPowerSaveMode == true,
            )
        }
    }
}

/** Android's word for a thermal status. */
fun throttlingName(status: Int): String =
    listOf("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
        .getOrElse(status) { status.toString() }

/** Peak memory of this process in MiB; null where the kernel does not tell. */
fun peakRssMib(root: File = File("/")): Double? = try {
    File(root, "proc/self/status").useLines { lines ->
        lines.firstOrNull { it.startsWith("VmHWM:") }
            ?.split(Regex("\\s+"))?.getOrNull(1)?.toLongOrNull()?.let { it / 1024.0 }
    }
} catch (_: IOException) {
    null
}

private fun systemOnChip(): String? {
    if (Build.VERSION.SDK_INT >= 31 && Build.SOC_MODEL != Build.UNKNOWN) {
        return listOf(Build.SOC_MANUFACTURER, Build.SOC_MODEL)
            .filter { it != Build.UNKNOWN }.joinToString(" ")
    }
    return Build.HARDWARE.takeIf { it.isNotEmpty() && it != Build.UNKNOWN }
}

private fun processAbi(): String? {
    val abis = if (Process.is64Bit()) Build.SUPPORTED_64_BIT_ABIS else Build.SUPPORTED_32_BIT_ABIS
    return abis.firstOrNull()
}

private fun firstLine(file: File): String? = try {
    file.useLines { it.firstOrNull() }?.trim()?.ifEmpty { null }
} catch (_: IOException) {
    null // Android lets apps read some of these and not others
}
