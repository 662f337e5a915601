"""What a build keeps for the next one: another Dockerfile on the same engine cannot change it."""

from __future__ import annotations

import subprocess
import time

from tests.conftest import generate
from tests.support.index_server import package_index
from tests.support.light_project import empty
from tests.support.workers import CHECKOUT, image_of

IMAGE = image_of("capy-index")
# What it can know: the names in the Dockerfile of each project, and the project's own.
CHANGE = r"find /cache -name '*victim.py' -exec sh -c 'echo VERSION = \"changed\" > {}' \;"
FOREIGN = "FROM {base}\n" + "".join(
    f"RUN --mount=type=cache,id={name},target=/cache : {{again}}; {CHANGE.replace('{}', '{{}}')}\n"
    for name in ("uv", "uv-private", "capy-index/uv", "capy-index/uv-private")
)


def test_a_foreign_dockerfile_changes_no_package_that_a_lock_file_names(base, tmp_path, monkeypatch):
    """Neither a public package nor a private one, which have a cache each."""
    monkeypatch.delenv("BUILD_CACHE", raising=False)  # of these tests: a user has none
    monkeypatch.setenv("CHECKOUT", CHECKOUT)
    with (
        package_index(tmp_path / "public", {"victim": "1.0"}) as public,
        package_index(tmp_path / "private", {"in-house-victim": "1.0"}) as private,
    ):
        answers = {"private_index": private.url, "private_packages": "in-house-victim"}
        project = empty(generate(tmp_path, project="capy-index", **answers))
        path = project.path / "pyproject.toml"
        path.write_text(path.read_text().replace("test = []", 'test = ["victim"]'))
        project.run("sh", "docker/write-env.sh")
        settings = {"PUBLIC_INDEX_URL": public.url}
        assert build(project, **settings) == "1.0 1.0"
        lock = subprocess.run(
            ["docker", "run", "--rm", "--entrypoint", "cat", IMAGE, "/opt/uv.lock"],
            capture_output=True,
            text=True,
            check=True,
        )
        (project.path / "uv.lock").write_text(lock.stdout)

        # a new one each time: --no-cache would give it caches of its own
        recipe = FOREIGN.format(base=base.name, again=time.time_ns())
        subprocess.run(["docker", "build", "-"], input=recipe, text=True, check=True, capture_output=True)

        assert build(project, **settings) == "1.0 1.0"


def build(project, **settings: str) -> str:
    """Build the image; return the versions of the packages in it."""
    done = project.run("docker", "compose", "build", "--progress", "plain", **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    code = "import victim, in_house_victim; print(victim.VERSION, in_house_victim.VERSION)"
    return project.run(
        "docker", "run", "--rm", "--entrypoint", "/opt/venv/bin/python", IMAGE, "-c", code
    ).stdout.strip()
