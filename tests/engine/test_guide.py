"""The guide's own story: docaligner from a private index, and what it needs from the public one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import BakedProject, generate
from tests.support.engine import change_owner
from tests.support.index_server import PackageIndex, package_index
from tests.support.stand_ins import ON_THE_HOST
from tests.support.workers import image_of

UID = 4321
ACCOUNT, PASSWORD = "corp", "s3cr3t"
SAVE = """
import importlib.util, pathlib
package = pathlib.Path(importlib.util.find_spec("docaligner").origin).parent
weights = package / "heatmap_reg/ckpt/weights"
weights.parent.mkdir(exist_ok=True)
weights.write_text("x")
print(weights.stat().st_uid)
import docaligner  # its family's own import downloads a font to its folder
docaligner.DocAligner()
"""


@pytest.fixture
def index(tmp_path: Path) -> Iterator[PackageIndex]:
    """A private index with the guide's package, as it is on the public one."""
    with package_index(tmp_path / "index", {}, {ACCOUNT: PASSWORD}) as served:
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "docaligner-docsaid"]
        subprocess.run([*download, "--dest", tmp_path / "index/wheels"], check=True)
        yield served


def run(project: BakedProject, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a container of the project; of the settings, only the accelerator's is given."""
    return project.run("docker", "compose", "run", "--rm", "app", *command, ACCELERATOR="cpu")


@pytest.mark.nightly
def test_the_guide_s_package_from_a_private_index_saves_beside_itself(index, base, tmp_path):
    project = generate(
        tmp_path / "made",
        project="capy-guide",
        private_index=index.url,
        private_packages="docaligner-docsaid",
    )
    (project.path / "compose.override.yaml").write_text(ON_THE_HOST)
    packages = project.path / "docker/apt-packages.txt"
    login = {"ACCELERATOR": "cpu", "PYPI_ACCOUNT": ACCOUNT, "PYPI_PASSWORD": PASSWORD}
    build = ("docker", "compose", "build", "--progress", "plain")
    try:
        first = project.run(*build, **login)
        packages.write_text(packages.read_text() + "libturbojpeg0\n")
        # the newest one asks for a libjpeg-turbo that neither Debian 12 nor Ubuntu 24.04 has
        command = ("docker", "compose", "run", "--rm", "--env", "PYPI_PASSWORD", "app")
        added = project.run(*command, "uv", "add", "--no-sync", "pyturbojpeg<2", **login)
        built = project.run(*build, **login)
        change_owner(project.path, UID, UID, image_of("capy-guide"))
        saved = run(project, "-c", SAVE)
        locked = project.read("uv.lock")
    finally:
        project.run("docker", "compose", "down", "--rmi", "local", ACCELERATOR="cpu")

    assert first.returncode == 0, first.stderr
    assert "add libturbojpeg0 to docker/apt-packages.txt" in first.stdout + first.stderr
    assert added.returncode == 0, added.stderr
    assert built.returncode == 0, built.stdout + built.stderr
    assert str(UID) in saved.stdout.split(), saved.stderr
    # only what it downloads is missing here, where the network ends
    assert "download" in (saved.stdout + saved.stderr).lower(), saved.stderr
    assert 'name = "docaligner-docsaid"' in locked
    assert PASSWORD not in locked
