"""`make demo`: what the README offers to whoever has a checkout."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import demo


@pytest.fixture
def project(base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the demo's project, elsewhere than a developer's own."""
    folder = tmp_path / "demo/capy-demo"
    monkeypatch.setattr(demo, "PROJECT", folder)
    monkeypatch.setattr(demo, "PICTURE", folder / "outputs" / demo.PICTURE.name)
    monkeypatch.setattr(demo, "shown", str)
    monkeypatch.setenv("ACCELERATOR", "cpu")  # whatever this machine has
    monkeypatch.delenv("BASE_IMAGE", raising=False)  # the demo finds or makes it
    yield folder
    if (folder / "compose.yaml").exists():
        subprocess.run(["docker", "compose", "down", "--rmi", "local"], cwd=folder, check=True)


def test_it_ends_with_a_picture_that_belongs_to_the_project_s_owner(project, capfd):
    assert demo.demo() == 0

    said = capfd.readouterr()
    assert "docker compose run --rm app script.py\n" in said.out
    assert f"{demo.PICTURE} is the result; it belongs to uid {project.stat().st_uid}" in said.err
    assert demo.PICTURE.read_bytes().startswith(b"\x89PNG")
