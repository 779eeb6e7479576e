"""Quantization: float graph, calibration, recipes, fidelity, and the .tflite file itself."""
