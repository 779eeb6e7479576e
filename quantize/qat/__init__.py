"""Quantization-aware training: a network that learns with the integers that its file will have.

``network`` makes a Keras model of an integer graph, every rounding of the file in it, on
tensorflow-model-optimization; ``objective`` says what is learned from a photo, from its label
and from the float network; ``loop`` trains; ``train`` is the job, from weights and photos to a
checked file. Importing this loads no TensorFlow.
"""

from __future__ import annotations
