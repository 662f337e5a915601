"""Record and check which CUDA, cuDNN, Python, ONNX Runtime and PyTorch versions work together."""
