"""Check the words of this repository: the project's terms, and links between its files."""
