"""The image for production: what is in it, who runs in it, and that nothing in it can be changed."""

from __future__ import annotations

import json
import os
import re
import tarfile
from pathlib import Path
from typing import IO

import pytest

from tests.support.engine import change_owner
from tests.support.workers import image_of

# Of what builds, tests or installs.
TOOLS = ("uv", "pip", "pytest", "jupyter", "g++", "gcc", "git", "sync-environment")
OF_OPT = ["pyproject.toml", "uv.lock", "venv"]
SCRATCH = ("/code/outputs", "/home/app", "/cache", "/tmp", "/var/tmp", "/dev", "/run/lock")
# As libraries download: by way of a temporary file.
DOWNLOAD = """
import os, shutil, tempfile
with tempfile.NamedTemporaryFile() as file:
    shutil.copy(file.name, os.environ["XDG_CACHE_HOME"] + "/weights")
"""
AS_ITSELF = {"remove": True, "read_only": True, "networks": ["none"]}


@pytest.fixture(scope="module")
def deployed(built) -> str:
    """The image, as `docker compose build deploy` makes it."""
    done = built.run("docker", "compose", "build", "deploy")
    assert done.returncode == 0, done.stdout + done.stderr
    return f"{image_of('capy-test')}-deploy"


def test_it_starts_by_itself_on_a_read_only_system(docker, deployed, tmp_path):
    tmp_path.chmod(0o777)

    assert owners_of_what_it_writes(docker, deployed, tmp_path) == {1000}


def test_it_writes_as_any_user(docker, deployed, tmp_path):
    os.chown(tmp_path, 4321, 4321)

    assert owners_of_what_it_writes(docker, deployed, tmp_path, user="4321:4321") == {4321}


def owners_of_what_it_writes(docker, image: str, folder: Path, **options: str) -> set[int]:
    """Return the UIDs of the files that a start without arguments writes."""
    docker.run(image, volumes=[(folder, "/code/outputs")], **AS_ITSELF, **options)
    return {path.stat().st_uid for path in folder.iterdir() if path.is_file()}


def test_it_starts_without_any_mount(docker, deployed):
    assert "outputs/" in docker.run(deployed, remove=True, networks=["none"])


def test_it_has_no_tools(docker, deployed):
    search = (
        f"PATH=/opt/venv/bin:/opt/uv/bin:$PATH; for name in {' '.join(TOOLS)}; do which $name || true; done"
    )
    folders = "ls -d /usr/local/lib/uv /usr/local/lib/with-index 2> /dev/null || true"
    found = docker.run(deployed, ["-c", f"{search}; {folders}; ls /opt"], entrypoint="sh", **AS_ITSELF)

    assert found.split() == OF_OPT


@pytest.mark.parametrize(
    ("command", "folder", "file"),
    [("", "outputs", "example-edges.png"), (f" -c '{DOWNLOAD}'", ".cache", "weights")],
    ids=["example", "download"],
)
def test_the_commands_of_the_readme_ship_it(project, image, deployed, command, folder, file):
    """As a user whose id is not the image's own, without the GPU; the first command has made the image."""
    [block] = re.findall(r"(?ms)^## Ship it\n\n```sh\n(.*?)^```$", project.read("README.md"))
    build, _, rest = block.rstrip("\n").partition("\n")
    for name in ("outputs", ".cache"):
        (project.path / name).mkdir(exist_ok=True)
        change_owner(project.path / name, 1234, 5678, image)

    done = project.run(
        "sh", "-euc", rest.replace(" --gpus all", "").replace("$(id -u):$(id -g)", "1234:5678") + command
    )

    assert (build, done.returncode) == ("docker compose build deploy", 0), done.stderr
    made = (project.path / folder / file).stat()
    assert (made.st_uid, made.st_gid) == (1234, 5678)


def test_the_page_has_the_command_of_the_readme(project):
    [block] = re.findall(r"(?ms)^## Ship it\n\n(```sh\n.*?^```)$", project.read("README.md"))

    assert block in project.read("docs/deploy.md")


def test_it_has_the_code_and_no_file_of_docker_editors_and_tests(docker, deployed):
    found = docker.run(deployed, ["-c", "ls -A /code"], entrypoint="sh", **AS_ITSELF).split()

    assert {"script.py", "src", "models", "pyproject.toml", "uv.lock"} <= set(found)
    assert [name for name in found if name.startswith((".", "compose", "docker", "docs", "tests"))] == []


@pytest.mark.nightly
def test_an_image_for_a_gpu_is_built_without_one(docker, built):
    done = built.run("docker", "compose", "build", "deploy", ACCELERATOR="nvidia")

    assert done.returncode == 0, done.stdout + done.stderr
    command = ["-c", "import onnxruntime; print(onnxruntime.get_available_providers())"]
    assert "CUDAExecutionProvider" in docker.run(
        f"{image_of('capy-test', 'nvidia')}-deploy", command, **AS_ITSELF
    )


def test_its_user_can_change_neither_packages_nor_code(docker, deployed):
    script = "find / -xdev -path /proc -prune -o ! -type l -writable -print 2>/dev/null || true"
    found = docker.run(deployed, ["-c", script], entrypoint="sh", remove=True, networks=["none"])

    assert {path for path in found.splitlines() if not path.startswith(SCRATCH)} == set()


def test_the_doctor_is_content_with_it(docker, deployed):
    said = docker.run(deployed, ["doctor", "--build"], **AS_ITSELF)

    assert "PROBLEM" not in said
    assert "ok       imports" in said


def test_the_large_packages_are_the_same_layer_as_in_the_runtime_image(docker, deployed, built, base):
    layers = {name: docker.image.inspect(name).root_fs.layers for name in (deployed, image_of("capy-test"))}
    (deploy, runtime) = layers.values()
    common = [mine for mine, other in zip(deploy, runtime, strict=False) if mine == other]

    before = docker.image.inspect(base.name).root_fs.layers
    assert len(common) >= len(before) + 5  # three steps, WORKDIR (an empty layer), large


def test_no_large_file_is_in_two_layers(docker, deployed, tmp_path):
    """A changed mode alone would copy a file into a second layer."""
    archive = tmp_path / "images.tar"
    docker.image.save([deployed, image_of("capy-test")], output=archive)
    with tarfile.open(archive) as images:
        manifest = json.load(images.extractfile("manifest.json"))
        layers = {
            name: large_files(images.extractfile(name)) for name in {n for i in manifest for n in i["Layers"]}
        }
    for image in manifest:
        files = [file for name in image["Layers"] for file in layers[name]]
        assert len(files) > 10
        assert len(files) == len(set(files))


def large_files(layer: IO[bytes]) -> list[str]:
    """Return the files of a layer with more than 1 MB, by name."""
    with tarfile.open(fileobj=layer) as files:
        return [file.name for file in files if file.isfile() and file.size > 1_000_000]
