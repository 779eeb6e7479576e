package org.effnetlite.demo

import android.content.Context
import org.effnetlite.EffNetLite
import org.effnetlite.EngineFactory
import org.effnetlite.Options
import org.effnetlite.TfliteEngines

/** The models that the app can use. */
interface Models {
    /** Names of the files, in alphabetical order; the app uses the first. */
    fun names(): List<String>

    /**
     * Loads one.
     *
     * @throws org.effnetlite.ModelException It cannot be used; the message says why.
     */
    fun load(name: String, options: Options): EffNetLite
}

/**
 * The `.tflite` files of the assets, where `effnet-lite android MODEL` puts them.
 *
 * @param engines The runtime.
 */
class AssetModels(
    private val context: Context,
    private val engines: EngineFactory = TfliteEngines(context),
) : Models {
    override fun names(): List<String> =
        context.assets.list("").orEmpty().filter { it.endsWith(".tflite") }.sorted()

    override fun load(name: String, options: Options): EffNetLite =
        EffNetLite.create(context, name, options, engines)
}
