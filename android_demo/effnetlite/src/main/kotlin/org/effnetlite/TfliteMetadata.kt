package org.effnetlite

import java.nio.ByteBuffer

/**
 * What the `TFLITE_METADATA` entry says that a classifier needs.
 *
 * Source: tensorflow/tflite-support `metadata_schema.fbs` 1.5.0, identifier M001.
 *
 * @property name The model's; empty where unknown.
 * @property mean Of the first input's normalisation; null without one.
 * @property std The same.
 * @property labelFiles Of the outputs, in the order in which they count.
 */
internal class TfliteMetadata(
    val name: String,
    val mean: List<Float>?,
    val std: List<Float>?,
    val labelFiles: List<String>,
) {
    companion object {
        const val ENTRY = "TFLITE_METADATA"

        /** @throws ModelException Another identifier, or damaged. */
        fun parse(data: ByteBuffer): TfliteMetadata {
            val root = FlatBuffer(data, "M001", "the model's metadata").root()
            val graph = root.tables(SUBGRAPHS).firstOrNull()
            val input = graph?.tables(INPUTS)?.firstOrNull()
            val normalization = input?.tables(PROCESS_UNITS)
                ?.firstOrNull { it.byte(OPTIONS_KIND) == NORMALIZATION }?.table(OPTIONS)
            return TfliteMetadata(
                name = root.string(NAME).orEmpty(),
                mean = normalization?.floats(MEAN)?.toList(),
                std = normalization?.floats(STD)?.toList(),
                labelFiles = graph?.tables(OUTPUTS).orEmpty().flatMap(::labelFiles),
            )
        }

        /** Those without a locale before others. */
        private fun labelFiles(output: Table): List<String> = output.tables(FILES)
            .filter { it.byte(FILE_TYPE) == AXIS_LABELS }
            .sortedBy { !it.string(FILE_LOCALE).isNullOrEmpty() }
            .mapNotNull { it.string(FILE_NAME) }

        // Slots of metadata_schema.fbs; a union takes two, its member's number and its table.
        private const val NAME = 0
        private const val SUBGRAPHS = 3
        private const val INPUTS = 2
        private const val OUTPUTS = 3
        private const val PROCESS_UNITS = 4
        private const val FILES = 6
        private const val OPTIONS_KIND = 0
        private const val OPTIONS = 1
        private const val MEAN = 0
        private const val STD = 1
        private const val FILE_NAME = 0
        private const val FILE_TYPE = 2
        private const val FILE_LOCALE = 3
        private const val NORMALIZATION = 1
        private const val AXIS_LABELS = 2
    }
}
