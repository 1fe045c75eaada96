"""How does a checkpoint become an ONNX graph? From safetensors, with the `onnx` helpers alone: no torch."""
