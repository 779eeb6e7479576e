package org.effnetlite.demo.benchmark

import org.json.JSONArray
import org.json.JSONObject

/**
 * One entry of `records` in `effnet-lite benchmark --json`, schema 2: the fields and their meaning
 * are those of benchmark/records.py. What an app cannot know is null.
 *
 * Its sentences ([noise]) are English in every language of the app, like Python's.
 */
data class Measurement(
    val model: String,
    val modelSha256: String,
    val runtime: String,
    val runtimeVersion: String,
    val delegate: String,
    val device: String,
    val threads: Int,
    val warmup: Int,
    val times: Times,
    val initMs: Double,
    val firstRunMs: Double,
    val peakRssMib: Double?,
    val ops: Int?,
    val noise: List<String>,
    val conditions: JSONObject,
) {
    val p50Ms: Double get() = percentile(times.times, 50.0)
    val p90Ms: Double get() = percentile(times.times, 90.0)
    val p99Ms: Double get() = percentile(times.times, 99.0)
    val preprocessMs: Double get() = percentile(times.preprocess, 50.0)

    /** The record; keys in the order of Python's. */
    fun toJson(): JSONObject = JSONObject()
        .put("model", model)
        .put("model_sha256", modelSha256)
        .put("runtime", runtime)
        .put("runtime_version", runtimeVersion)
        .put("delegate", delegate)
        .put("device", device)
        .put("device_kind", "app")
        .put("threads", threads)
        .put("processes", 1)
        .put("warmup", warmup)
        .put("runs", times.times.size)
        .put("mean_ms", times.times.average())
        // The sample of an interval is launches, of which this is one.
        .put("mean_interval", JSONObject.NULL)
        .put("p10_ms", percentile(times.times, 10.0))
        .put("p50_ms", p50Ms)
        .put("p90_ms", p90Ms)
        .put("p99_ms", p99Ms)
        .put("min_ms", times.times.min())
        .put("throughput_per_s", 1000 / times.times.average())
        .put("init_ms", initMs)
        .put("first_run_ms", firstRunMs)
        .put("peak_rss_mib", peakRssMib ?: JSONObject.NULL)
        // The app's other screens were there before: what came with the model is not known.
        .put("model_rss_mib", JSONObject.NULL)
        .put("preprocess_ms", preprocessMs)
        .put("preprocess_of", PICTURE)
        .put("delegated_ops", JSONObject.NULL)
        .put("ops", ops ?: JSONObject.NULL)
        .put("serial", JSONObject.NULL)
        .put("cores", JSONArray())
        .put("output_sha256", JSONObject.NULL)
        .put("noise", JSONArray(noise))
        .put("conditions", conditions)
        .put("times_ms", JSONArray(times.times.map { Math.round(it * 1e4) / 1e4 }))
        .put("schema", SCHEMA)
        .put("noisy", noise.isNotEmpty())

    private companion object {
        /** `SCHEMA` of benchmark/records.py. */
        const val SCHEMA = 2
    }
}

/**
 * The document of `effnet-lite benchmark --json`, which `effnet-lite report` reads.
 *
 * @param failures A line for each delegate that was asked for and refused.
 * @param app Name and version of what measured.
 */
fun document(record: Measurement, failures: List<String>, app: Pair<String, String>): JSONObject {
    val versions = JSONObject()
        .put(app.first, app.second)
        .put(record.runtime, record.runtimeVersion)
    return JSONObject()
        .put("records", JSONArray().put(record.toJson()))
        .put("comparisons", JSONArray())
        .put("profiles", JSONArray())
        .put("failures", JSONArray(failures))
        .put("made_by", JSONObject().put("command", app.first).put("versions", versions))
}
