"""The checks of shared memory, user and folders."""

import getpass
import os
import tempfile
from errno import EACCES, ENOSPC, EROFS
from pathlib import Path
from types import SimpleNamespace

import pytest
from doctor import folders as checks


@pytest.mark.parametrize(("mib", "fine"), [(2048, True), (2047, False), (64, False)])
def test_shared_memory_must_be_large_enough(machine, monkeypatch, mib, fine):
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_frsize=4096, f_blocks=mib * 256))

    problems = machine.problems("shared-memory")

    assert fine or "shm_size: 2048m" in problems
    assert fine == (problems == "")


def test_no_shared_memory_at_all_is_named(machine, monkeypatch):
    monkeypatch.setattr(checks, "SHARED_MEMORY", machine.root / "nowhere")

    assert "has 0 MiB, a data loader needs 2048" in machine.problems("shared-memory")


def test_shared_memory_does_not_matter_without_a_training_loader(machine):
    machine.facts["shared_memory_mib"] = None

    assert [finding.status for finding in machine.finds("shared-memory")] == ["skipped"]


def test_a_user_with_a_name_and_a_home_is_fine(machine, monkeypatch):
    monkeypatch.setenv("USER", "app")
    monkeypatch.setenv("HOME", "/home/app")

    assert machine.problems("user") == ""


@pytest.mark.parametrize("error", [KeyError, OSError])
def test_a_user_without_a_name_is_named(machine, monkeypatch, error):
    def no_name():
        raise error

    monkeypatch.setattr(getpass, "getuser", no_name)

    assert f"uid {os.geteuid()} has no name" in machine.problems("user")


def test_a_user_without_a_home_is_named(machine, monkeypatch):
    monkeypatch.setenv("USER", "app")
    monkeypatch.delenv("HOME")

    assert "HOME is not set" in machine.problems("user")


@pytest.fixture
def folders(machine, monkeypatch):
    """/code, /cache, HOME and the environment as folders of a test."""
    folders = {name: machine.root / name for name in ("code", "cache", "home", "environment")}
    for folder in folders.values():
        folder.mkdir()
    monkeypatch.setattr(checks, "CODE", folders["code"])
    monkeypatch.setattr(checks, "CACHE", folders["cache"])
    monkeypatch.setenv("HOME", str(folders["home"]))
    monkeypatch.setattr(checks, "UV", machine.root / "uv")
    checks.UV.touch()
    monkeypatch.setattr(checks.sysconfig, "get_path", lambda _: str(folders["environment"]))
    return folders


def refuse(monkeypatch, folder: Path, number: int) -> None:
    """As the kernel would: root, who runs the tests in a container, may write everywhere."""
    real = tempfile.TemporaryFile

    def temporary_file(dir):
        if dir == folder:
            raise OSError(number, os.strerror(number))
        return real(dir=dir)

    monkeypatch.setattr(tempfile, "TemporaryFile", temporary_file)


def test_folders_that_can_be_written_are_fine_and_stay_empty(machine, folders):
    assert machine.problems("folders") == ""
    assert not any(file for folder in folders.values() for file in folder.iterdir())


@pytest.mark.parametrize("name", ["code", "cache", "home", "environment"])
def test_a_folder_of_somebody_else_is_named_with_both_ids(machine, folders, monkeypatch, name):
    refuse(monkeypatch, folders[name], EACCES)

    problems = machine.problems("folders")

    owner, you = folders[name].stat(), f"{os.geteuid()}:{os.getegid()}"
    assert f"{folders[name]} cannot be written: it belongs to {owner.st_uid}:{owner.st_gid}" in problems
    assert f"you are {you}" in problems
    assert len(problems.splitlines()) == 1


def test_ids_that_do_not_own_the_project_are_named(machine, folders, monkeypatch):
    monkeypatch.setenv("USER_ID", "4242")
    refuse(monkeypatch, folders["code"], EACCES)

    problems = machine.problems("folders")

    assert "USER_ID=4242 you do not own it" in problems
    assert "leave USER_ID and GROUP_ID in .env empty" in problems


def test_a_read_only_folder_is_named_as_such(machine, folders, monkeypatch):
    refuse(monkeypatch, folders["code"], EROFS)

    assert "it is on a read-only file system" in machine.problems("folders")


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("code", '--bind "$PWD":/code'),
        ("cache", '--bind "$PWD/.cache":/cache'),
        ("home", "--writable-tmpfs"),
    ],
)
def test_apptainer_s_own_option_is_named_there(machine, folders, monkeypatch, name, advice):
    """Where the whole image is read-only, and nothing can be mounted from compose.yaml."""
    monkeypatch.setenv("APPTAINER_CONTAINER", "/home/user/my-project.sif")
    refuse(monkeypatch, folders[name], EROFS)

    assert f"apptainer run {advice}" in machine.problems("folders")


@pytest.mark.parametrize("apptainer", [True, False])
def test_packages_on_a_read_only_file_system_are_a_remark(machine, folders, monkeypatch, apptainer):
    """As in every .sif file, and with `docker run --read-only`."""
    if apptainer:
        monkeypatch.setenv("APPTAINER_CONTAINER", "/home/user/my-project.sif")
    refuse(monkeypatch, folders["environment"], EROFS)

    assert machine.problems("folders") == ""
    (remark,) = machine.remarks("folders")
    assert remark.startswith(f"{folders['environment']} is read-only (")
    assert ("apptainer run --writable-tmpfs" in remark) == apptainer


@pytest.mark.parametrize(
    ("name", "error", "named"),
    [
        ("environment", EACCES, False),
        ("code", EACCES, False),
        ("code", EROFS, False),
        ("cache", EACCES, True),
        ("code", ENOSPC, True),
    ],
)
def test_packages_and_code_of_the_production_image_are_a_remark(
    machine, folders, monkeypatch, name, error, named
):
    checks.UV.unlink()
    refuse(monkeypatch, folders[name], error)

    assert bool(machine.problems("folders")) == named
    assert len(machine.remarks("folders")) == (not named)


def test_a_folder_that_does_not_exist_is_named(machine, folders):
    folders["cache"].rmdir()

    assert "cannot be written: no such file or directory" in machine.problems("folders")
