"""What a container leaves for the next one makes no root, mounts nothing else and steers no terminal."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import BakedProject
from tests.support.engine import change_owner

APP = ("docker", "compose", "run", "--rm", "app")
ESCAPE = "\x1b]0;pwned\x07"  # the title of the terminal
ROOT = ("docker", "compose", "run", "--rm", "--cap-add", "ALL", "-e", "USER_ID=0", "app")


@pytest.fixture
def project(light: BakedProject, image: str, tmp_path: Path):
    """A project of uid 1234, which shares the image of `light`."""
    copy = BakedProject(Path(shutil.copytree(light.path, tmp_path / light.path.name)))
    change_owner(copy.path, 1234, 5678, image)
    yield copy
    change_owner(copy.path, 0, 0, image)


@pytest.mark.parametrize("name", ["USER_ID", "GROUP_ID"])
def test_a_line_in_env_makes_nobody_root_with_a_folder_of_the_host(project, tmp_path, name):
    """CACHE_DIR may name any folder: root would write what is root's there, without any capability."""
    (tmp_path / "of-root").mkdir(mode=0o770)
    plant = f"open('.env', 'a').write('{name}=0\\nCACHE_DIR={tmp_path}/of-root\\n')"
    assert project.run(*APP, "python", "-c", plant).returncode == 0

    done = project.run(*APP, "touch", "/cache/pwned")

    assert [*(tmp_path / "of-root").iterdir()] == []
    assert done.returncode == 64
    assert f"entrypoint: {name}=0 works only in a folder owned by root. Remove it from .env" in done.stderr


def test_a_root_shell_that_is_asked_for_on_the_command_line_is_given(project):
    done = project.run(*ROOT, "id", "-u")

    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr


@pytest.mark.parametrize("mode", ["0755", "0700"])  # root, without capabilities, does not see into the second
def test_a_cache_that_became_a_symlink_is_refused_unless_it_is_a_setting(project, tmp_path, mode):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o777)
    elsewhere.chmod(0o777)
    plant = f"import os, shutil; shutil.rmtree('.cache'); os.symlink('{elsewhere}', '.cache')"
    plant += f"; os.chmod('.', 0o{mode})"
    assert project.run(*APP, "python", "-c", plant).returncode == 0

    refused = project.run(*APP, "touch", "/cache/pwned")
    typed = project.run(
        *APP, "sh", "-c", 'touch /cache/wanted; echo "${CACHE_FROM-none}"', CACHE_DIR=str(elsewhere)
    )

    assert refused.returncode == 64
    assert "entrypoint: ./.cache leads through a symlink, which may point anywhere." in refused.stderr
    assert not (elsewhere / "pwned").exists()
    assert (typed.returncode, typed.stdout) == (0, "none\n"), typed.stderr
    assert (elsewhere / "wanted").exists()


@pytest.mark.parametrize(
    ("command", "settings"),
    [
        pytest.param(["true"], ["-e", f"USER_ID={ESCAPE}"], id="the entrypoint, of a setting"),
        pytest.param([ESCAPE], [], id="the entrypoint, of a command"),
        pytest.param(["doctor"], ["-e", f"ACCELERATOR={ESCAPE}"], id="the doctor"),
    ],
)
def test_no_message_hands_an_escape_sequence_on_to_the_terminal(project, command, settings):
    done = project.run("docker", "compose", "run", "--rm", "-T", *settings, "app", *command)

    assert "pwned" in done.stdout + done.stderr
    assert ESCAPE[0] not in done.stdout + done.stderr
