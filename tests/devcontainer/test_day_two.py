"""The dev container after its first day: packages come and go, it is rebuilt, a second checkout is opened."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

from tests.conftest import BakedProject, generate
from tests.devcontainer.conftest import DevContainer, clone, close, devcontainer, opened, up
from tests.support.light_project import empty


def test_a_profiler_attaches_and_root_may_install_packages(dev):
    """Both need more than `docker compose run` leaves: ptrace, and for root the capabilities of apt-get."""
    container = dev.started["containerId"]
    begin = "python -c 'import time; time.sleep(60)' & echo $!"
    pid = dev.execute(
        "sh", "-c", f"{begin} > /tmp/pid; cat /tmp/pid; sleep 1; uv tool run py-spy dump --pid $!"
    )

    assert "<module> (<string>:1)" in pid

    as_root = ["docker", "exec", "--user", "root", container]
    status = subprocess.run([*as_root, "grep", "CapEff", "/proc/self/status"], capture_output=True, text=True)
    assert int(status.stdout.split()[1], 16) & 1 << 19  # CAP_SYS_PTRACE
    installed = subprocess.run(
        [*as_root, "sh", "-c", "apt-get update -qq && apt-get install --yes -qq jq && jq --version"],
        capture_output=True,
        text=True,
    )
    assert installed.stdout.splitlines()[-1].startswith("jq-"), installed.stderr
    assert dev.execute("grep", "CapEff", "/proc/self/status").split()[1] == "0" * 16


def test_shell_history_and_vs_code_s_server_outlive_a_rebuild_and_its_notes_do_not(dev):
    kept = ["bin/of-the-server", "extensions/an-extension"]
    lost = "data/Machine/.installExtensionsMarker"
    for name in (*kept, lost):
        dev.execute("sh", "-c", f"cd ~/.vscode-server && mkdir -p data/Machine && touch {name}")
    type_into_a_shell(dev, "echo remember me")
    (dev.project.path / "uv.lock").unlink(missing_ok=True)  # with it the packages are installed anew

    rebuilt = up(dev.user, dev.project, "--remove-existing-container")

    assert rebuilt.started["containerId"] != dev.started["containerId"]
    assert "echo remember me" in rebuilt.execute("sh", "-c", "cat $HISTFILE")
    files = rebuilt.execute("sh", "-c", "cd ~/.vscode-server && find . -type f | sort").split()
    assert files == [f"./{name}" for name in kept]


def type_into_a_shell(dev: DevContainer, line: str) -> None:
    """Type a line into a shell of the dev container, which is then killed, as VS Code does it."""
    remote = json.loads(dev.project.read(".devcontainer/devcontainer.json"))["remoteEnv"]
    options = [
        word for name in ("HISTFILE", "PROMPT_COMMAND") for word in ("--env", f"{name}={remote[name]}")
    ]
    command = ["docker", "exec", "--interactive", "--user", "app", *options, dev.started["containerId"]]
    command += ["bash", "-i"]
    subprocess.run(command, input=f"{line}\nkill -9 $$\n", capture_output=True, text=True)


def test_a_package_that_is_added_is_there_at_once_and_takes_nothing_away(dev):
    """onnxruntime is the accelerator's, debugpy the dev container's: uv alone would remove both."""
    dev.execute("uv", "add", "einops")
    imports = dev.execute(
        "uv", "run", "python", "-c", "import debugpy, einops, onnxruntime; print('all there')"
    )
    lock = (dev.project.path / "uv.lock").stat()

    dev.execute("uv", "remove", "einops")

    assert imports == "all there"
    assert dev.execute("python", "-c", "import debugpy, onnxruntime; print('still there')") == "still there"
    assert dev.devcontainer("exec", "python", "-c", "import einops").returncode == 1
    assert (lock.st_uid, lock.st_gid) == (dev.user.uid, dev.user.gid)
    assert "einops" not in dev.project.read("pyproject.toml") + dev.project.read("uv.lock")


def test_a_package_that_docker_compose_run_adds_is_one_sync_away_and_in_the_next_build(dev):
    run = ["docker", "compose", "run", "--rm", "app"]
    add = dev.user.run(
        *run, "bash", "-c", "uv add toolz && python -c 'import toolz'", folder=dev.project.path
    )
    assert add.returncode == 0, add.stdout + add.stderr

    dev.execute("uv", "sync")
    build = dev.user.run("docker", "compose", "build", folder=dev.project.path)
    afterwards = dev.user.run(*run, "-c", "import onnxruntime, toolz", folder=dev.project.path)

    assert dev.execute("python", "-c", "import debugpy, onnxruntime, toolz; print('there')") == "there"
    assert (build.returncode, afterwards.returncode) == (0, 0), build.stderr + afterwards.stderr
    for name in ("pyproject.toml", "uv.lock"):
        assert "toolz" in dev.project.read(name)
        assert (dev.project.path / name).stat().st_uid == dev.user.uid


def test_two_checkouts_are_open_at_once(user, host_user):
    """Of one name, in two folders: each container has its own files. The user's uid is the image's."""
    user = host_user(1000) if os.getuid() == 0 else user
    checkouts = [clone(user.home / place, "capy-dev") for place in ("first", "second")]
    for place in ("first", "second"):
        (user.home / place / "capy-dev/which.txt").write_text(place)

    with opened(user, checkouts[0]) as first, opened(user, checkouts[1]) as second:
        assert first.started["containerId"] != second.started["containerId"]
        show = ("sh", "-c", "id -u; cat /code/which.txt; touch /code/made-here")
        shown = [dev.execute(*show).split() for dev in (first, second)]
        assert shown == [[str(user.uid), "first"], [str(user.uid), "second"]]
        assert (checkouts[0].path / "made-here").stat().st_uid == user.uid
        subprocess.run(["docker", "stop", second.started["containerId"]], check=True, capture_output=True)
        assert up(user, checkouts[1]).execute("cat", "/code/which.txt") == "second"


def test_a_clone_is_built_before_anything_could_choose_an_accelerator(user):
    """`devcontainer build` never runs initializeCommand, and there is no .env: the default is built."""
    shutil.rmtree(user.home / "clone", ignore_errors=True)  # a lost layer may run this again
    project = plain(empty(generate(user.home / "clone", project="capy-copy")))
    (project.path / ".env").unlink()
    user.own(project)

    built = devcontainer(user, project, "build")

    assert built.returncode == 0, built.stdout + built.stderr
    assert not (project.path / ".env").exists()
    assert user.run("docker", "image", "inspect", "capy-copy:nvidia-dev", folder=user.home).returncode == 0


def test_a_colleague_s_choice_of_an_accelerator_is_changed_in_one_place(user):
    """ACCELERATOR=nvidia on a machine without a GPU does not open; with cpu in .env it does, and at once."""
    project = plain(empty(generate(user.home, project="capy-copy")))
    settings = project.path / ".env"
    settings.write_text("ACCELERATOR=nvidia\n")
    user.own(project)

    refused = devcontainer(user, project, "up")
    settings.write_text(project.read(".env").replace("nvidia", "cpu"))
    with opened(user, project) as dev:
        chosen = dev.execute("printenv", "ACCELERATOR")
    settings.write_text(project.read(".env").replace("cpu", "nvidia"))
    close(project)

    assert (refused.returncode, chosen) == (1, "cpu")


def plain(project: BakedProject) -> BakedProject:
    """Return the project without what `docker compose` reads and the client does not."""
    (project.path / "compose.override.yaml").unlink()
    return project
