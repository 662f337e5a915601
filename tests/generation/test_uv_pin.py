"""docker/uv.txt: the image's uv is a file that the package index had when requirements.lock was made."""

from __future__ import annotations

import re

from tests.conftest import TEMPLATE


def test_uv_s_hashes_are_those_of_the_same_version_in_requirements_lock(bake):
    pinned = bake().read("docker/uv.txt")
    version = re.search(r"^(uv==\S+)", pinned, re.MULTILINE)[1]
    lock = (TEMPLATE / "requirements.lock").read_text()
    (entry,) = re.findall(
        rf"^{re.escape(version)} \\\n((?:    --hash=\S+(?: \\\n|\n|$))+)", lock, re.MULTILINE
    )

    hashes = set(re.findall("--hash=(sha256:[0-9a-f]{64})", pinned))
    assert len(hashes) == 3
    assert hashes <= set(re.findall(r"--hash=(\S+)", entry))
