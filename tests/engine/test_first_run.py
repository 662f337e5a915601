"""A newcomer's first minutes: generate, run, edit."""

import re
import shutil

import pytest

from tests.support.engine import change_owner


def test_the_first_command_after_cookiecutter_needs_no_setting(base, bake, monkeypatch):
    """Only the stand-in's BASE_IMAGE and the network's CA_BUNDLE are set, where this machine needs them."""
    monkeypatch.delenv("CHECKOUT", raising=False)  # the workers' own
    project = bake(project="capy-first")

    done = project.run("docker", "compose", "run", "--rm", "app", "script.py")

    try:
        assert re.fullmatch(r"CHECKOUT=-\d+\nACCELERATOR=(cpu|nvidia)\n", project.read(".env"))
        assert done.returncode == 0, done.stderr
        assert "ExecutionProvider" in done.stdout
        assert re.search(r"(?m)^speed +1920 x 1080: CPU [\d.]+ ms", done.stdout)
        picture = project.path / "outputs/example-edges.png"
        assert picture.stat().st_uid == project.path.stat().st_uid
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert "Pulling" not in done.stderr
    finally:
        project.run("docker", "compose", "down", "--rmi", "local")


@pytest.mark.parametrize("owner", [(1234, 5678), (1900000001, 1900000513)], ids=str)
def test_the_picture_belongs_to_whoever_owns_the_project(project, image, owner):
    change_owner(project.path, *owner, image)

    done = project.run("docker", "compose", "run", "--rm", "app", "script.py")

    assert done.returncode == 0, done.stderr
    picture = (project.path / "outputs/example-edges.png").stat()
    assert (picture.st_uid, picture.st_gid) == owner


def test_a_picture_of_the_user_s_own_is_read(project):
    shutil.copy(project.path / "example.png", project.path / "photo.png")

    done = project.run("docker", "compose", "run", "--rm", "app", "script.py", "photo.png")

    assert done.returncode == 0, done.stderr
    assert (project.path / "outputs/photo-edges.png").exists()


def test_downloads_outlive_the_container_and_are_the_owner_s(project, image):
    change_owner(project.path, 1234, 5678, image)

    done = project.run(
        "docker", "compose", "run", "--rm", "app", "sh", "-c", "echo x > $XDG_CACHE_HOME/weights"
    )

    assert done.returncode == 0, done.stderr
    weights = (project.path / ".cache/weights").stat()
    assert (weights.st_uid, weights.st_gid) == (1234, 5678)


def test_an_edit_of_the_code_needs_no_build(project):
    package = project.path / "src/capy_test"
    (package / "fresh.py").write_text("print('fresh')\n")

    done = project.run("docker", "compose", "run", "--rm", "app", "-m", "capy_test.fresh")

    assert (done.returncode, done.stdout.strip()) == (0, "fresh"), done.stderr
