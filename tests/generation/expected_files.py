"""Which files a project has: the list to change when the template gains or loses one."""

from capy_template.matrix import load

ALWAYS = """
.cache/.gitkeep
.devcontainer/compose.yaml
.devcontainer/devcontainer.json
.dockerignore
.env
.env.example
.gitattributes
.gitignore
.pre-commit-config.yaml
.vscode/launch.json
AGENTS.md
LICENSE
README.md
compose.guarded.yaml
compose.project.yaml
compose.yaml
docker/Dockerfile
docker/accelerator-cdi.yaml
docker/accelerator-cpu.yaml
docker/accelerator-nvidia.yaml
docker/apt-packages.txt
docker/doctor/__init__.py
docker/doctor/__main__.py
docker/doctor/computing.py
docker/doctor/cuda_builds.py
docker/doctor/distributions.py
docker/doctor/elf.py
docker/doctor/facts.py
docker/doctor/findings.py
docker/doctor/folders.py
docker/doctor/gpu.py
docker/doctor/installed.py
docker/doctor/libraries.py
docker/doctor/limits.py
docker/doctor/missing_libraries.py
docker/doctor/packages.py
docker/doctor/processes.py
docker/doctor/registry.py
docker/doctor/report.py
docker/doctor/requirement.py
docker/doctor/requirements.py
docker/doctor/shared_objects.py
docker/doctor/system_packages.py
docker/doctor/torch_builds.py
docker/doctor/version.py
docker/entrypoint.sh
docker/environment.json
docker/hooks/pre-commit
docker/machine.yaml
docker/podman.yaml
docker/proxies.txt
docker/sync.sh
docker/uv/__main__.py
docker/uv/accelerator.py
docker/uv/arguments.py
docker/uv/change.py
docker/uv/program.py
docker/uv/workspace.py
docker/uv.txt
docker/with-network.sh
docker/write-env.sh
docs/data.md
docs/deploy.md
docs/engines.md
docs/errors.md
docs/files.md
docs/gpu.md
docs/long-runs.md
docs/packages.md
docs/permission-denied.md
docs/proxy.md
docs/untrusted-code.md
docs/vscode.md
pyproject.toml
script.py
src/PACKAGE/__init__.py
src/PACKAGE/errors.py
"""

RAY = """
compose.ray.local.yaml
compose.ray.yaml
docker/ray.yaml
docker/ray-token.sh
docker/slurm.sh
docs/scale-out.md
docs/slurm.md
src/PACKAGE/cluster.py
src/PACKAGE/stopping.py
tests/test_cluster.py
"""

# By `example` in compatibility/matrix.yaml, so that a new environment needs no row: the scripts for a
# cluster, and the files of the example.
RAY_SCRIPTS = {
    "edges": ["predict.py"],
    "digits": ["train.py"],
    "export": ["predict.py", "train.py"],
}

DIGITS = """
src/PACKAGE/digits.py
src/PACKAGE/files.py
src/PACKAGE/stopping.py
src/PACKAGE/training.py
tests/test_digits.py
tests/test_training.py
"""

EXAMPLES = {
    "edges": """
example.png
models/edges.onnx
src/PACKAGE/edges.py
tests/test_edges.py
""",
    "digits": DIGITS,
    "export": DIGITS
    + """
src/PACKAGE/exported.py
src/PACKAGE/runtime.py
tests/test_exported.py
""",
}
EXAMPLE_OF = {name: use["example"] for name, use in load()["environments"].items()}

ONLY_WITH = {
    **{("environment", name): EXAMPLES[example] for name, example in EXAMPLE_OF.items()},
    ("private_index", "https://pypi.example.com:8080/simple"): """
docker/with-index/__main__.py
docker/with-index/asking.py
docker/with-index/confusion.py
docker/with-index/fetching.py
docker/with-index/handover.py
docker/with-index/logins.py
docker/with-index/projects.py
docker/with-index/servers.py
docker/with-index/settings.py
docs/private-index.md
""",
    ("notebook", True): """
docs/notebooks.md
""",
    ("scale_out", "ray"): RAY,
    ("scale_out", "ray-and-kubernetes"): RAY
    + """
kubernetes/base/job.yaml
kubernetes/base/kustomization.yaml
kubernetes/base/networkpolicy.yaml
kubernetes/overlays/rayjob/kustomization.yaml
kubernetes/overlays/rayjob/kustomizeconfig.yaml
kubernetes/overlays/rayjob/networkpolicy.yaml
kubernetes/overlays/rayjob/rayjob.yaml
""",
    ("github_actions", True): """
.github/dependabot.yml
.github/workflows/ci.yaml
""",
}


def expected_files(package: str, answers: dict[str, str | bool]) -> set[str]:
    """Return the files of a project with these answers."""
    wanted = [ALWAYS, *(names for answer, names in ONLY_WITH.items() if answer in answers.items())]
    scripts = [] if answers["scale_out"] == "none" else RAY_SCRIPTS[EXAMPLE_OF[answers["environment"]]]
    return set("".join(wanted).replace("PACKAGE", package).split()) | set(scripts)
