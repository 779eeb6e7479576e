"""Everything about one .tflite file: bytes, objects, metadata, what it says of itself."""
