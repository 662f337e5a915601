"""docker/write-env.sh: each checkout and each user has a number, and what .env holds already stays."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from tests.conftest import BakedProject


def number(project: BakedProject) -> str:
    """Run the script in a project and return the number that Compose would take: the last one."""
    done = project.run("sh", "docker/write-env.sh")
    assert done.returncode == 0, done.stderr
    return re.findall(r"(?m)^CHECKOUT=(-\d+)$", project.read(".env"))[-1]


def test_a_copy_of_the_folder_gets_a_number_of_its_own(bake, tmp_path):
    project = bake()
    copy = BakedProject(shutil.copytree(project.path, tmp_path / "copy"))

    assert copy.read(".env") == project.read(".env")
    assert number(copy) != number(project)


def test_another_user_of_the_same_folder_gets_another_number(bake, tmp_path):
    project = bake()
    mine = number(project)
    (tmp_path / "id").write_text("#!/bin/sh\necho 4321\n")
    (tmp_path / "id").chmod(0o755)

    project.run("sh", "docker/write-env.sh", PATH=f"{tmp_path}:/usr/bin:/bin")

    assert re.findall(r"(?m)^CHECKOUT=(-\d+)$", project.read(".env"))[-1] != mine


@pytest.mark.parametrize("before", ["", "GPU_IDS=1\n", "GPU_IDS=1", "CHECKOUT=5\nUSER_ID=7\n"])
def test_what_else_the_file_holds_is_kept(bake, before):
    project = bake()
    (project.path / ".env").write_text(before)

    first = number(project)
    after = project.read(".env")

    assert after.startswith(before)
    assert number(project) == first
    assert project.read(".env") == after


def test_without_an_engine_the_number_is_there_all_the_same(bake):
    project = bake()
    (project.path / ".env").unlink()

    done = project.run("sh", "docker/write-env.sh")

    assert "no Docker Engine answers" in done.stderr
    assert re.fullmatch(r"CHECKOUT=-\d+\n", project.read(".env"))


def test_a_folder_that_temporary_renderings_use_makes_no_difference_between_them(bake, tmp_path, monkeypatch):
    """cruft compares two renderings in temporary folders; a number in them would be a change to each .env."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    project = bake()

    assert not (project.path / ".env").exists()


def test_a_folder_that_cannot_be_written_is_said_in_one_line(bake):
    project = bake()
    (project.path / ".env").unlink()
    (project.path / ".env").symlink_to("missing/.env")

    done = subprocess.run(["sh", "docker/write-env.sh"], cwd=project.path, capture_output=True, text=True)

    assert done.returncode != 0
    assert len(done.stderr.splitlines()) == 1
    assert ".env" in done.stderr


def test_a_symlink_is_not_followed_and_a_new_file_is_closed_to_others(bake, tmp_path):
    project = bake()
    profile = tmp_path / "profile"
    profile.write_text("# somebody's\n")
    (project.path / ".env").unlink()
    (project.path / ".env").symlink_to(profile)

    done = project.run("sh", "docker/write-env.sh")

    assert profile.read_text() == "# somebody's\n"
    assert (done.returncode, len(done.stderr.splitlines())) == (64, 1)
    (project.path / ".env").unlink()
    assert number(project)
    assert (project.path / ".env").stat().st_mode & 0o777 == 0o600
