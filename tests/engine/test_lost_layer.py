"""A layer that the engine lost fails each build on it, until tests/support/lost_layer.py has seen it."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from engines.engine import Engine
from tests.support.lost_layer import LOST, forget


def test_a_step_without_its_layer_is_made_again(
    engine: Engine, tmp_path: Path, request: pytest.FixtureRequest
):
    if not engine.private:
        pytest.skip("only the private engine's layers may be removed by hand")
    name = f"in-no-other-build-{time.time_ns()}"
    (tmp_path / name).touch()
    (tmp_path / "Dockerfile").write_text("FROM scratch AS lost\nCOPY . /lost/\nFROM lost\nCOPY . /again\n")

    def build(*options: str) -> subprocess.CompletedProcess[str]:
        command = ["docker", "buildx", "build", "--output", "type=cacheonly", *options, tmp_path]
        return subprocess.run(command, capture_output=True, text=True)

    assert build("--target", "lost").returncode == 0
    data = Path(engine.docker("info", "--format", "{{.DockerRootDir}}"))
    (layer,) = [file.parents[2] for file in data.glob(f"overlay2/*/diff/lost/{name}")]
    shutil.rmtree(layer)
    failed = build()
    forget(LOST.search(failed.stderr)[1])

    again = request.node.get_closest_marker("flaky").kwargs
    assert again["reruns"] == 1
    assert re.search(again["only_rerun"][0], failed.stderr)
    assert build().returncode == 0
