"""Which CUDA, cuDNN, Python, ONNX Runtime and PyTorch agree, and how that is known."""
