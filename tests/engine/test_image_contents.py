"""The commands of docs/deploy.md that say what is in an image, run on one."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.conftest import TEMPLATE, BakedProject


@pytest.fixture(scope="module")
def commands(built: BakedProject) -> list[str]:
    """The commands of the section."""
    [section] = re.findall(
        r"(?ms)^## What is in the image\n\n```sh\n(.*?)^```$", built.read("docs/deploy.md")
    )
    return section.splitlines()


@pytest.fixture(scope="module")
def project(light: BakedProject, tmp_path_factory: pytest.TempPathFactory) -> BakedProject:
    """A copy of a project that reaches the package index, for the commands to write to."""
    copy = tmp_path_factory.mktemp("contents") / light.path.name
    return BakedProject(Path(shutil.copytree(light.path, copy)))


@pytest.mark.parametrize(
    ("tool", "file", "component"),
    [
        ("debsbom", "system.cdx.json", "gosu"),
        ("cyclonedx-py", "python.cdx.json", "capy-env-light"),
    ],
    ids=["system packages", "Python packages"],
)
def test_an_sbom_of_the_whole_image(project, commands, tool, file, component):
    [command] = [line for line in commands if tool in line]

    done = project.run("sh", "-c", command)

    assert done.returncode == 0, done.stderr
    sbom = json.loads(project.read(file))
    assert component in {found["name"] for found in sbom["components"]}


def test_the_scanner_looks_at_the_packages_of_the_image(project, commands):
    """By their plain versions: it skips 2.14.1+cpu, which the index does not have."""
    [command] = [line for line in commands if "pip-audit" in line]
    asked = re.search(r"sh -c '(uv pip freeze \| sed [^>]*)> (\S+) && uv tool run pip-audit .*'", command)
    freeze = "printf '%s\\n' numpy==1.0 torch==2.14.1+cpu '-e file:///code' 'own @ file:///wheel'"

    done = project.run("sh", "-c", command)
    sed = asked[1].partition("|")[2]
    kept = project.run("sh", "-c", f"{freeze} | {sed}").stdout

    assert done.returncode == 0, done.stderr
    assert "No known vulnerabilities found" in done.stderr
    assert kept.split() == ["numpy==1.0", "torch==2.14.1"]


@pytest.mark.nightly
def test_the_commands_of_the_security_page(built, tmp_path):
    copy = BakedProject(Path(shutil.copytree(built.path, tmp_path / built.path.name, symlinks=True)))
    page = (TEMPLATE / "SECURITY.md").read_text()
    [block] = re.findall(r"(?ms)^## Check it yourself\n\n```sh\n(.*?)^```$", page)

    done = [copy.run("sh", "-c", command) for command in block.splitlines()]

    assert [run.returncode for run in done] == [0, 0, 0], [run.stderr for run in done]
    assert "CapBnd:\t0000000000000000" in done[0].stdout
    assert "NoNewPrivs:\t1" in done[0].stdout
    names = {component["name"] for component in json.loads(copy.read("sbom.json"))["components"]}
    assert {"numpy", "onnxruntime"} <= names
    assert "buildx.build.provenance" in copy.read("provenance.json")
