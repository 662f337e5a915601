"""The layer of the large packages: what is in it, and that it stays when other packages change."""

from __future__ import annotations

import hashlib
import re
import zipfile
from pathlib import Path

import pytest

from tests.conftest import BakedProject
from tests.support.workers import image_of

# What a wheel may bring, and whether the image keeps it.
FILES = {
    "triton/__init__.py": True,
    "triton/backends/nvidia/lib/cupti/libcupti_static.a": False,
    "nvidia/cu13/lib/libnvrtc.so.13": True,
    "nvidia/cu13/lib/libnvrtc.alt.so.13": False,
    "nvidia/cu13/lib/libnvrtc-builtins.alt.so.13.0": False,
    "other/lib/libown.a": True,
}


@pytest.fixture
def wheel(tmp_path) -> Path:
    """A wheel with such files."""
    path = tmp_path / "triton-9.9-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in FILES:
            archive.writestr(name, "")
        archive.writestr(
            "triton-9.9.dist-info/METADATA", "Metadata-Version: 2.1\nName: triton\nVersion: 9.9\n"
        )
        archive.writestr("triton-9.9.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("triton-9.9.dist-info/RECORD", "")
    return path


def test_what_no_program_loads_is_left_out(docker, image, wheel, tmp_path):
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (tmp_path / "pylock.toml").write_text(f"""\
lock-version = "1.0"
created-by = "test"
[[packages]]
name = "triton"
version = "9.9"
wheels = [{{ path = "/opt/large/{wheel.name}", hashes = {{ sha256 = "{digest}" }} }}]
""")
    script = "sync-environment --large >&2 && cd /opt/venv/lib/python3*/site-packages && ls -d " + " ".join(
        FILES
    )

    found = docker.run(
        image,
        ["-c", f"{script} || true"],
        entrypoint="sh",
        user="0",
        remove=True,
        networks=["none"],
        volumes=[(tmp_path, "/opt/large", "ro")],
    )

    assert found.split() == sorted(name for name, kept in FILES.items() if kept)


def test_an_added_package_leaves_the_layer_as_it_is(docker, image, project: BakedProject):
    compose = project.path / "compose.yaml"
    compose.write_text(compose.read_text().replace("image: capy-test", "image: capy-added"))
    pyproject = project.path / "pyproject.toml"
    pyproject.write_text(
        re.sub(r"(?m)^dependencies = \[$", 'dependencies = [\n    "tomli",', pyproject.read_text())
    )

    done = project.run("docker", "compose", "--progress", "plain", "build", "app")

    assert done.returncode == 0, done.stdout + done.stderr
    printed = done.stdout + done.stderr
    step = re.search(r"(?m)^(#\d+) \[large ", printed)[1]
    assert re.search(rf"(?m)^{step} CACHED$", printed), printed
    assert "tomli" in docker.run(image_of("capy-added"), ["-c", "import tomli; print(tomli)"], remove=True)
