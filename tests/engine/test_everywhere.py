"""compose.project.yaml: what a project adds reaches every service; tokens and proxies, the programs alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import BakedProject, generate
from tests.support.light_project import LIGHT
from tests.support.workers import image_of

OWN = """\
    volumes: ["./own-data:/own:ro"]
    group_add: ["4321"]
    ulimits: {nofile: 9000}
    shm_size: 77mb
    security_opt: [label=disable]
"""
SHELL = ("docker", "compose", "run", "--rm", "-T", "app")
SERVICES = {
    "compose.yaml": ["app", "deploy", "jupyter", "tensorboard"],
    "compose.yaml .devcontainer/compose.yaml": ["app", "deploy", "jupyter", "tensorboard"],
    "compose.ray.yaml": ["ray", "ray-head", "ray-worker"],
    "compose.ray.local.yaml": ["ray", "ray-head", "ray-worker"],
}
SETTINGS = {"HF_TOKEN": "hf_of-the-test", "OWN_TOKEN": "own-of-the-test", "HTTP_PROXY": "http://u:pw@p:1"}


@pytest.fixture
def owned(light: BakedProject, tmp_path: Path) -> BakedProject:
    """A project with every service, its image, and additions of its owner's. Its secrets are in .env."""
    project = generate(tmp_path, project=LIGHT, environment="full", scale_out="ray", notebook=True)
    (project.path / "own-data").mkdir()
    (project.path / "own-data/file").write_text("of the owner")
    (project.path / "outputs").mkdir()
    (project.path / ".ray-token").write_text("0" * 64)
    (project.path / "uv.lock").touch()
    own = project.path / "compose.project.yaml"
    text = own.read_text().replace("      HF_TOKEN:\n", "      HF_TOKEN:\n      OWN_TOKEN:\n")
    own.write_text(text + OWN)
    settings = "".join(f"{name}={value}\n" for name, value in SETTINGS.items())
    (project.path / ".env").write_text(f"ACCELERATOR=cpu\n{settings}")
    return project


def config(project: BakedProject, files: str) -> dict[str, dict]:
    """Return the services of Compose files as Compose understands them."""
    options = [option for file in files.split() for option in ("--file", file)]
    done = project.run("docker", "compose", *options, "--profile", "*", "config", "--format", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["services"]


@pytest.mark.parametrize("files", SERVICES)
def test_what_the_project_adds_is_in_every_service(owned, files):
    services = config(owned, files)

    assert sorted(services) == SERVICES[files]
    for name, service in services.items():
        [mount] = [volume for volume in service["volumes"] if volume["target"] == "/own"]
        assert (mount["source"], mount["read_only"]) == (str(owned.path / "own-data"), True), name
        assert service["group_add"] == ["4321"], name
        assert service["ulimits"] == {"nofile": 9000}, name
        assert service["shm_size"] == str(77 * 2**20), name
        assert {"label=disable", "no-new-privileges"} <= set(service["security_opt"]), name
        assert SETTINGS.items() <= service["environment"].items(), name
        assert service["build"]["args"]["HTTP_PROXY"] == SETTINGS["HTTP_PROXY"], name


def test_code_that_is_not_trusted_gets_nothing_of_it(owned):
    whole = config(owned, "compose.guarded.yaml")
    [app] = whole.values()

    assert not {"env_file", "group_add", "ulimits"} & app.keys()
    assert app["security_opt"] == ["no-new-privileges"]
    assert "/own" not in {volume["target"] for volume in app["volumes"]}
    assert not SETTINGS.keys() & (app["environment"].keys() | app["build"]["args"].keys())
    assert not [value for value in SETTINGS.values() if value in str(whole)]


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(SHELL, id="app"),
        pytest.param(
            ("docker", "compose", "-f", "compose.ray.local.yaml", "run", "--rm", "-T", "ray-worker"),
            id="a machine of Ray",
        ),
    ],
)
def test_it_is_there_when_it_runs(owned, command):
    script = "cat /own/file; id -G; ulimit -n; df -m /dev/shm | tail -1; env"

    done = owned.run(*command, "sh", "-c", script)

    assert done.returncode == 0, done.stderr
    text, groups, files, memory, *environment = done.stdout.replace("of the owner", "of the owner\n").split(
        "\n"
    )
    assert text == "of the owner"
    assert "4321" in groups.split()
    assert files == "9000"
    assert memory.split()[1] == "77"
    assert {f"{name}={value}" for name, value in SETTINGS.items()} <= set(environment)


def test_python_under_uv_run_sees_what_a_script_sees(owned):
    read = "import os; print(sorted((n, v) for n, v in os.environ.items() if n.endswith(('TOKEN', 'PROXY'))))"

    script = owned.run(*SHELL, "-c", read)
    uv = owned.run(*SHELL, "uv", "run", "--no-project", "python", "-c", read)

    assert script.stdout == uv.stdout != "", uv.stderr
    assert "hf_of-the-test" in uv.stdout


def test_without_a_value_nothing_is_set(owned):
    """An empty one would win over the proxies of Docker's client, and over a login that is stored in ~."""
    (owned.path / ".env").write_text("ACCELERATOR=cpu\n")

    done = owned.run(*SHELL, "env")

    names = {line.partition("=")[0].upper() for line in done.stdout.splitlines()}
    assert done.returncode == 0, done.stderr
    assert not names & {"HF_TOKEN", "WANDB_API_KEY", "HTTP_PROXY", "NO_PROXY"}


@pytest.mark.parametrize("given", ["HTTP_PROXY", "https_proxy", "ALL_PROXY", "no_proxy"])
def test_a_proxy_in_one_case_is_there_in_both(owned, given):
    (owned.path / ".env").write_text("ACCELERATOR=cpu\n")

    done = owned.run(*SHELL, "env", **{given: "http://proxy.example:3128"})

    environment = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    assert environment[given.upper()] == environment[given.lower()], done.stderr
    assert environment[given.upper()].startswith("http://proxy.example:3128")
    assert environment["no_proxy"].endswith("localhost,127.0.0.1")


def test_no_image_and_no_build_knows_a_token_or_the_password_of_a_proxy(light):
    done = light.run("docker", "compose", "build", "--progress", "plain", **SETTINGS)
    assert done.returncode == 0, done.stderr

    built = light.run("docker", "compose", "config", **SETTINGS).stdout.partition("    build:")[2]
    history = light.run("docker", "history", "--no-trunc", image_of(LIGHT))
    shown = light.run("docker", "inspect", image_of(LIGHT))
    inside = light.run(
        *("docker", "run", "--rm", "--entrypoint", "sh", image_of(LIGHT), "-c"),
        "env; grep -rsE 'hf_of-the-test|u:pw@p' /etc /opt /code /root /home /usr/local; true",
    )

    assert history.returncode == shown.returncode == inside.returncode == 0
    for text in (history.stdout, shown.stdout, inside.stdout):
        assert "hf_of-the-test" not in text and "u:pw@p" not in text
    assert "BUILDKIT_CACHE_MOUNT_NS" in built
    assert "HF_TOKEN" not in built.partition("    cap_add:")[0]
