"""Share fixtures between the tests: engines, images, package indexes, stand-ins, a light project."""
