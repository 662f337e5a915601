"""Docker Engines and a base image for a machine that has none: what tests, demo and benchmarks stand on."""
