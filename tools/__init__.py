"""What maintainers run: a Docker Engine and a base image for the tests, examples for the docs."""
