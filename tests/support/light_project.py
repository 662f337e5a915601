"""A project without the public packages, for tests that build often and look at something else."""

from __future__ import annotations

import json
import re

from tests.conftest import BakedProject
from tests.support.stand_ins import ON_THE_HOST


def empty(project: BakedProject) -> BakedProject:
    """Leave a project nothing to install but its private packages; its doctor has nothing to compare then.

    It is built for ACCELERATOR=cpu, and reaches servers on this machine's loopback.
    """
    path = project.path / "pyproject.toml"
    text = path.read_text()
    private = re.findall(r'^(\S+) = { index = "private" }$', text, re.MULTILINE)
    before, found, rest = text.partition("dependencies = [")
    after = rest.partition("\n]")[2]
    text = f"{before}dependencies = {json.dumps(private)}{after}"
    text = re.sub(r"^(nvidia|cpu|test) = \[.*\]$", r"\1 = []", text, flags=re.MULTILINE)
    assert found
    path.write_text(text)
    facts = project.path / "docker/environment.json"
    facts.write_text(json.dumps({**json.loads(facts.read_text()), "frameworks": {}, "packages": []}))
    (project.path / "compose.override.yaml").write_text(ON_THE_HOST)
    (project.path / ".env").write_text("ACCELERATOR=cpu\n")
    return project
