"""Using and measuring .tflite files: classify, inspect, latency, what is installed."""
