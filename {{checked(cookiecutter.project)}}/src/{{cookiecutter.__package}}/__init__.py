"""The code of this project: replace it with your own."""
