"""Provide Docker Engines and a base image for tests, the demo and benchmarks."""
