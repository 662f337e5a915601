"""Tools for maintainers: the demo, the README's picture, the example's model, checks."""
