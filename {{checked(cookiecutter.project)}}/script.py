{% include 'script.edges.py' if cookiecutter.__edges else 'script.digits.py' %}
