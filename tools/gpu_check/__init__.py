"""Test generated projects on a machine with an NVIDIA GPU, without Docker and network: `make gpu-check`."""
