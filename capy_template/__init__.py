"""What renders a project: the checks of the answers, the reader of the matrix, the Jinja extension."""
