package org.effnetlite

import android.content.res.AssetManager
import java.io.ByteArrayOutputStream
import java.io.FileInputStream
import java.io.IOException
import java.nio.ByteBuffer
import java.nio.channels.FileChannel

/** Reads a model, and labels beside it, from an app's assets. */
internal object ModelAsset {
    /**
     * The bytes of an asset, mapped where the app stores it uncompressed (as Android's build does
     * with .tflite), else a copy.
     *
     * @throws ModelException It is missing or unreadable, or there is no memory for it.
     */
    fun read(assets: AssetManager, asset: String): ByteBuffer = try {
        mapped(assets, asset) ?: directCopy(ByteBuffer.wrap(bytes(assets, asset)))
    } catch (error: IOException) {
        throw ModelException(
            "the asset ${printable(asset)} cannot be read; put a model there with effnet-lite android",
            error,
        )
    } catch (error: OutOfMemoryError) {
        throw ModelException("no memory for the model in the asset ${printable(asset)}", error)
    }

    /** The labels of `NAME.labels.txt`, else of `labels.txt`; null where there are none. */
    fun labels(assets: AssetManager, asset: String): List<String>? {
        val folder = asset.substringBeforeLast('/', "").let { if (it.isEmpty()) "" else "$it/" }
        for (name in listOf(asset.removeSuffix(".tflite") + ".labels.txt", folder + "labels.txt")) {
            val content = try {
                bytes(assets, name)
            } catch (_: IOException) {
                continue // not there: labels beside a model are optional
            }
            return parseLabels(content).map { it.trim() }
        }
        return null
    }

    /** Null for a compressed asset, which has no place in a file of its own. */
    private fun mapped(assets: AssetManager, asset: String): ByteBuffer? {
        val descriptor = try {
            assets.openFd(asset)
        } catch (_: IOException) {
            return null // compressed, or missing: then the copy fails too, and says so
        }
        descriptor.use {
            FileInputStream(it.fileDescriptor).use { stream ->
                val start = it.startOffset
                return stream.channel.map(FileChannel.MapMode.READ_ONLY, start, it.declaredLength)
            }
        }
    }

    private fun bytes(assets: AssetManager, name: String): ByteArray = assets.open(name).use {
        val content = ByteArrayOutputStream()
        it.copyTo(content)
        content.toByteArray()
    }
}
