package org.effnetlite.demo.benchmark

import java.io.File
import org.effnetlite.testing.DesktopRunner
import org.json.JSONObject
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import org.junit.runner.RunWith
import org.robolectric.RuntimeEnvironment

/** What a record says, and what of the device it knows. */
@RunWith(DesktopRunner::class)
class MeasurementTest {
    @get:Rule
    val folder = TemporaryFolder()

    /**
     * src/test/resources/benchmark_record.json is a document of this code, and
     * tests/android/test_android_record.py reads it as one of Python's: neither test needs the
     * other's tools, and a change on either side breaks one of them.
     */
    @Test
    fun theSampleIsWhatTheAppWrites() {
        val device = Device(
            "Google", "Pixel 8", "Google Tensor G3", "arm64-v8a",
            emulator = false, android = "15", sdk = 35,
        )
        val governors = listOf("sched_pixel", "sched_pixel")
        val cool = DeviceState(governors, listOf(1704000, 2914000), 0, 83, powerSaving = false)
        val warm = cool.copy(capsKhz = listOf(1704000, 2200000), throttling = 1)
        val times = DoubleArray(60) { 8 + (it * 7 % 60) / 16.0 }
        val record = Measurement(
            model = "efficientnet-lite0-int8.tflite",
            modelSha256 = "0123456789abcdef".repeat(4),
            runtime = "tensorflow-lite",
            runtimeVersion = "2.16.1",
            delegate = "cpu",
            device = device.name,
            threads = 4,
            warmup = 5,
            times = Times(times, DoubleArray(60) { 2 + it / 64.0 }),
            initMs = 31.5,
            firstRunMs = 14.25,
            peakRssMib = 212.5,
            ops = 64,
            noise = noise(device, cool, warm, times, hidden = false),
            conditions = device.toJson().put("before", cool.toJson()).put("after", warm.toJson()),
        )
        val refused = listOf("efficientnet-lite0-int8.tflite gpu: no OpenCL")
        val found = document(record, refused, Pair("org.effnetlite.demo", "1.0")).toString(2)
        val sample = checkNotNull(javaClass.getResource("/benchmark_record.json")).readText()
        assertEquals(sample.trimEnd(), found)
    }

    @Test
    fun percentilesAreNumpys() {
        // numpy.percentile([4, 1, 3, 2], [0, 10, 50, 90, 100])
        val values = doubleArrayOf(4.0, 1.0, 3.0, 2.0)
        val expected = listOf(0.0 to 1.0, 10.0 to 1.3, 50.0 to 2.5, 90.0 to 3.7, 100.0 to 4.0)
        for ((percent, value) in expected) assertEquals(value, percentile(values, percent), 1e-12)
        assertEquals(7.0, percentile(doubleArrayOf(7.0), 99.0), 0.0)
        assertThrows(IllegalArgumentException::class.java) { percentile(DoubleArray(0), 50.0) }
    }

    @Test
    fun noiseSaysWhyFiguresMayBeOff() {
        val device = Device("a", "b", null, null, emulator = true)
        val calm = DeviceState(emptyList(), emptyList(), null, null, false)
        val steady = DoubleArray(50) { 10.0 }
        assertEquals("a b", device.name)
        assertEquals(
            listOf("this is an emulator: its times say nothing about a phone"),
            noise(device, calm, calm, steady, hidden = false),
        )
        val phone = Device("a", "b", "c", null, emulator = false)
        assertEquals("a b (c)", phone.name)
        assertTrue(noise(phone, calm, calm, steady, hidden = false).isEmpty())
        val hot = calm.copy(capsKhz = listOf(1000000, 1500000), throttling = 2, powerSaving = true)
        val found = noise(
            phone, calm.copy(capsKhz = listOf(1000000, 2000000)), hot,
            DoubleArray(50) { 10.0 + it }, hidden = true,
        )
        assertEquals(
            listOf(
                "the device throttled itself: thermal status 2 (moderate)",
                "the clock was capped meanwhile on 1 of 2 cores, core 1 to 1.50 of 2.00 GHz",
                "the battery saver is on",
                "the app was not on the screen all the time",
                "runs differ by 114% of the median (10th to 90th percentile; 25% is the limit)",
            ),
            found,
        )
    }

    @Test
    fun readsWhatLinuxTells() {
        val root = folder.root
        val caps = mapOf("cpu0" to 1700000, "cpu10" to 2900000, "cpu2" to 2300000)
        for ((core, cap) in caps) {
            write(root, "sys/devices/system/cpu/$core/cpufreq/scaling_governor", "walt\n")
            write(root, "sys/devices/system/cpu/$core/cpufreq/scaling_max_freq", "$cap\n")
        }
        write(root, "sys/devices/system/cpu/cpufreq/x", "no core")
        write(root, "proc/self/status", "Name:\tdemo\nVmHWM:\t  102400 kB\nVmRSS:\t  1 kB\n")
        val state = DeviceState.read(RuntimeEnvironment.getApplication(), root)
        assertEquals(listOf(1700000, 2300000, 2900000), state.capsKhz)
        assertEquals("[\"walt\"]", state.toJson().getJSONArray("governors").toString())
        assertEquals(100.0, peakRssMib(root)!!, 0.0)
    }

    @Test
    fun whatIsNotToldIsLeftOut() {
        assertNull(peakRssMib(folder.root))
        val nothing = DeviceState(emptyList(), emptyList(), null, null, false)
        assertEquals(JSONObject().toString(), nothing.toJson().toString())
        val state = DeviceState.read(RuntimeEnvironment.getApplication(), folder.root)
        assertTrue(state.capsKhz.isEmpty() && state.governors.isEmpty())
    }

    private fun write(root: File, name: String, text: String) =
        File(root, name).apply { checkNotNull(parentFile).mkdirs() }.writeText(text)
}
