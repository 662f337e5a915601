"""What the tests share: engines and images as fixtures, package indexes, stand-ins, a light project."""
