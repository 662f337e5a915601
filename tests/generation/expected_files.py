"""Which files a project has: the list to change when the template gains or loses one."""

ALWAYS = """
.cache/.gitkeep
.devcontainer/compose.yaml
.devcontainer/devcontainer.json
.dockerignore
.env.example
.gitattributes
.gitignore
LICENSE
README.md
compose.yaml
docker/Dockerfile
docker/accelerator-cpu.yaml
docker/accelerator-nvidia.yaml
docker/apt-packages.txt
docker/detect-accelerator.sh
docker/entrypoint.sh
docker/sync.sh
docker/with-ca.sh
example.png
models/edges.onnx
pyproject.toml
script.py
src/PACKAGE/__init__.py
src/PACKAGE/edges.py
tests/test_edges.py
"""

ONLY_WITH = {
    "github_actions": """
.github/workflows/ci.yaml
""",
}


def expected_files(package: str, answers: dict[str, str | bool]) -> set[str]:
    """Return the files of a project with these answers."""
    wanted = [ALWAYS, *(names for answer, names in ONLY_WITH.items() if answers[answer])]
    return set("".join(wanted).replace("PACKAGE", package).split())
