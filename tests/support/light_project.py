"""Make a project without public packages, for tests that build often and check something else."""

from __future__ import annotations

import json
import re

import pytest

from engines.base_image import Base
from tests.conftest import BakedProject, generate
from tests.support.stand_ins import ON_THE_HOST
from tests.support.workers import image_of

LIGHT = "capy-env-light"
SCRIPT = "import pathlib; pathlib.Path('made').write_text('by script.py')\n"


def empty(project: BakedProject) -> BakedProject:
    """Remove all packages of a project and its dev container, except private ones.

    Its doctor then has nothing to compare. It is built for ACCELERATOR=cpu, and can reach servers on
    this machine's loopback.
    """
    path = project.path / "pyproject.toml"
    text = path.read_text()
    private = re.findall(r'^(\S+) = { index = "private" }$', text, re.MULTILINE)
    before, found, rest = text.partition("dependencies = [")
    after = rest.partition("\n]")[2]
    text = f"{before}dependencies = {json.dumps(private)}{after}"
    # in one line, or in several
    text = re.sub(r"(?m)^(nvidia|cpu|test) = \[(.*\]|\n(?:  .*\n)*\])$", r"\1 = []", text)
    text = re.sub(r'(?m)^torch(vision)? = \[\{ index = "pytorch-cpu".*\n', "", text)
    text = re.sub(r'(?m)^(dev = \[\n  \{ include-group = "test" \},\n)(.*\n)*?\]$', r"\1]", text)
    assert found
    path.write_text(text)
    assert {package.name for package in project.requirements()} == {*private, "uv_build"}
    facts = project.path / "docker/environment.json"
    facts.write_text(json.dumps({**json.loads(facts.read_text()), "frameworks": {}, "packages": []}))
    (project.path / "compose.override.yaml").write_text(ON_THE_HOST)
    (project.path / ".env").write_text("ACCELERATOR=cpu\n")
    return project


def without_retries(project: BakedProject) -> BakedProject:
    """Let its builds ask each index once, for tests of a server that is down."""
    path = project.path / "docker/Dockerfile"
    stages = r"(?m)^FROM system AS (?:uv|fetch)$"
    text, found = re.subn(stages, r"\g<0>\nENV UV_HTTP_RETRIES=0 PIP_RETRIES=0", path.read_text())
    assert found == 2
    path.write_text(text)
    return project


@pytest.fixture(scope="session")
def light(base: Base, tmp_path_factory: pytest.TempPathFactory) -> BakedProject:
    """Return a built project without packages, whose script.py needs none. Do not change it."""
    project = empty(generate(tmp_path_factory.mktemp("light"), project=LIGHT))
    (project.path / "script.py").write_text(SCRIPT)
    done = project.run("docker", "compose", "build", "--progress", "plain")
    assert done.returncode == 0, done.stderr
    return project


@pytest.fixture(scope="session")
def light_image(light: BakedProject) -> str:
    """Return the name of its image, a third of the size, for copies to other engines."""
    return image_of(LIGHT)
