"""Which ACCELERATOR docker/write-env.sh chooses, on machines of every kind that are played."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import BakedProject

SCRIPT = "docker/write-env.sh"
TOOLS = ("cat", "dirname", "grep", "head", "mktemp", "mv", "rm", "sed", "sh", "tail", "tr")

# What `docker info` knows: every version the runtimes, 25 and later where CDI's files are, 28.2 and
# later which devices they name.
DOCKER_23 = {"Runtimes": {"runc": {"path": "runc"}}}
DOCKER_26 = {**DOCKER_23, "CDISpecDirs": ["/etc/cdi", "/var/run/cdi"]}
DOCKER_28 = {**DOCKER_26, "DiscoveredDevices": None}
RUNTIME = {"Runtimes": {"nvidia": {"path": "nvidia-container-runtime"}, "runc": {"path": "runc"}}}
DEVICES = {"DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=0"}]}

# A docker that fills in templates as the real one does, and fails on a field that it does not know.
# Without an engine `docker info` shows what the client knows, and up to 26 with exit code 0.
DOCKER = r"""#!/bin/sh
exec '{python}' -IS - "$@" <<'PYTHON'
import json, re, sys
known = json.loads('{known}')
compact = json.JSONEncoder(separators=(",", ":")).encode
command, template = sys.argv[1], sys.argv[-1]
if command == "info" and template == "{{{{json .}}}}":
    print(compact(known or {{"ServerErrors": ["Cannot connect to the Docker daemon"]}}))
elif known is None:
    sys.exit("Cannot connect to the Docker daemon")
elif command == "info":
    print(re.sub(r"{{{{json \.(\w+)}}}}", lambda field: compact(known[field[1]]), template))
else:
    print("28.5.2")
PYTHON
"""


@dataclass(frozen=True)
class Machine:
    """A computer: what its Docker Engine knows, what `nvidia-smi -L` says, what else it has."""

    docker: dict | None = None  # None: no engine answers
    gpu: bool | None = None  # None: there is no nvidia-smi
    hook: bool = False  # NVIDIA's hook, which is all that an engine needs
    has_docker: bool = True
    script: str = ""  # a docker command of its own
    others: tuple[tuple[str, str], ...] = ()  # further commands, and their scripts

    def programs(self) -> dict[str, str]:
        """Return the scripts that play this machine."""
        docker = self.script or DOCKER.format(python=sys.executable, known=json.dumps(self.docker))
        return {
            **({"docker": docker} if self.has_docker else {}),
            **({} if self.gpu is None else {"nvidia-smi": f"#!/bin/sh\nexit {int(not self.gpu)}\n"}),
            **({"nvidia-container-runtime-hook": "#!/bin/sh\n"} if self.hook else {}),
            **dict(self.others),
        }


NOT_ALLOWED = Machine(script="#!/bin/sh\necho 'permission denied while trying to connect' >&2\nexit 1\n")
DESKTOP = {**DOCKER_28, **RUNTIME, "OperatingSystem": "Docker Desktop"}
ON_WSL = {**DESKTOP, "KernelVersion": "6.6.87.2-microsoft-standard-WSL2"}
ON_LINUX = {**DESKTOP, "KernelVersion": "6.10.14-linuxkit"}
# What Podman 5.4 says of itself, and what it tells a docker command that uses its socket.
PODMAN_INFO = '{"host":{"arch":"amd64","buildahVersion":"1.39.3"},"version":{"Version":"5.4.2"}}'
PODMAN_5 = {
    "Runtimes": {"crun": {"path": "/usr/bin/crun"}, "krun": {"path": "/usr/bin/krun"}},
    "CDISpecDirs": None,
}
EXTERNAL = (
    '>>>> Executing external compose provider "/usr/%s".'
    " Please see podman-compose(1) for how to disable this message. <<<<"
)
LAPTOP = Machine(DOCKER_28)
GPU_MACHINE = Machine({**DOCKER_28, **RUNTIME}, gpu=True)
ENGINE_IS_DOWN = Machine(None)
NO_DOCKER = Machine(None, has_docker=False)


@dataclass(frozen=True)
class Detection:
    """What the script did: its exit code, its lines, and the .env that it left."""

    code: int
    lines: list[str]
    env: str | None


@pytest.fixture
def detect(projects: Mapping[str, BakedProject], tmp_path: Path) -> Callable[..., Detection]:
    """detect(machine): run the script there, in a new copy of a project; `env` is the .env it finds."""
    default = next(iter(projects.values()))
    project = BakedProject(Path(shutil.copytree(default.path, tmp_path / "my-project")))
    (project.path / ".env").unlink()
    programs = tmp_path / "programs"
    programs.mkdir()
    for tool in TOOLS:
        (programs / tool).symlink_to(shutil.which(tool))

    def run(
        machine: Machine,
        env: str | None = None,
        cwd: Path | None = None,
        script: str = SCRIPT,
        **variables: str,
    ) -> Detection:
        settings = project.path / ".env"
        if env is not None:
            settings.write_text(env)
        for name, text in machine.programs().items():
            (programs / name).unlink(missing_ok=True)  # it may be a link to the system's
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        done = subprocess.run(
            [programs / "sh", script],
            cwd=cwd or project.path,
            env={"PATH": str(programs), "CHECKOUT": "", "BUILD_CACHE": "", **variables},  # neither is written
            capture_output=True,
            text=True,
        )
        assert done.stdout == ""
        left = settings.read_text(errors="replace") if settings.is_file() else None
        return Detection(done.returncode, done.stderr.splitlines(), left)

    return run


@pytest.mark.parametrize(
    ("machine", "accelerator"),
    [
        pytest.param(LAPTOP, "cpu", id="a laptop"),
        pytest.param(Machine(DOCKER_26), "cpu", id="a laptop with Docker 26"),
        pytest.param(Machine(DOCKER_23), "cpu", id="a laptop with Docker 23"),
        pytest.param(GPU_MACHINE, "nvidia", id="a GPU machine"),
        pytest.param(Machine(ON_LINUX), "cpu", id="Docker Desktop, whose engine always names nvidia"),
        pytest.param(Machine(ON_WSL), "cpu", id="Docker Desktop on WSL2 without a GPU"),
        pytest.param(Machine(ON_WSL, gpu=True), "nvidia", id="Docker Desktop on WSL2 with a GPU"),
        pytest.param(Machine(ON_LINUX, gpu=True), "cpu", id="Docker Desktop on Linux"),
        pytest.param(
            Machine(ON_LINUX, gpu=True, hook=True), "cpu", id="Docker Desktop on Linux, and the hook"
        ),
        pytest.param(
            Machine({**ON_LINUX, **DEVICES}, gpu=True), "cpu", id="Docker Desktop on Linux, and CDI"
        ),
        pytest.param(
            Machine({**DOCKER_26, **RUNTIME}, gpu=True), "nvidia", id="a GPU machine with Docker 26"
        ),
        pytest.param(
            Machine({**DOCKER_23, **RUNTIME}, gpu=True), "nvidia", id="a GPU machine with Docker 23"
        ),
        pytest.param(
            Machine({**DOCKER_28, **RUNTIME}), "nvidia", id="an engine elsewhere, with NVIDIA's runtime"
        ),
        pytest.param(Machine({**DOCKER_28, **DEVICES}, gpu=True), "cdi", id="GPUs through CDI"),
        pytest.param(Machine({**DOCKER_28, **DEVICES}), "cdi", id="an engine elsewhere, with CDI"),
        pytest.param(
            Machine({**DOCKER_28, **RUNTIME, **DEVICES}, gpu=True), "nvidia", id="NVIDIA's runtime and CDI"
        ),
        pytest.param(Machine({**DOCKER_28, **DEVICES}, gpu=False), "cpu", id="CDI, but no GPU"),
        pytest.param(Machine(DOCKER_28, gpu=True, hook=True), "nvidia", id="NVIDIA's hook alone"),
        pytest.param(Machine({**DOCKER_28, **RUNTIME}, gpu=False), "cpu", id="NVIDIA's runtime, but no GPU"),
        pytest.param(Machine(DOCKER_28, gpu=False, hook=True), "cpu", id="the hook, but no GPU"),
        pytest.param(Machine(DOCKER_28, gpu=True), "cpu", id="a GPU that the engine cannot use"),
        pytest.param(Machine(DOCKER_28, gpu=False), "cpu", id="a driver, but no GPU"),
    ],
)
def test_the_choice_is_right_for(detect, machine, accelerator):
    done = detect(machine)

    assert (done.code, done.env) == (0, f"ACCELERATOR={accelerator}\n")
    assert done.lines[-1] == f"write-env: wrote ACCELERATOR={accelerator} to .env"


def podman(compose: str = "", gpu: bool | None = None, **others: str) -> Machine:
    """Return a machine with Podman alone, and what answers `podman compose`."""
    answer = f"echo '{EXTERNAL % compose}' >&2" if compose else "exit 125"
    script = f"#!/bin/sh\ncase $1 in info) echo '{PODMAN_INFO}' ;; *) {answer} ;; esac\n"
    return Machine(has_docker=False, gpu=gpu, others=(("podman", script), *others.items()))


BUILD = "podman compose -f compose.yaml -f docker/podman.yaml build app"


@pytest.mark.parametrize(
    ("machine", "said"),
    [
        pytest.param(podman("libexec/docker/cli-plugins/docker-compose"), BUILD, id="with docker-compose"),
        pytest.param(podman(), "Podman has no Docker Compose", id="without any Compose"),
        pytest.param(podman("bin/podman-compose"), "podman-compose is not enough", id="podman-compose"),
        pytest.param(
            Machine(PODMAN_5), BUILD.replace("podman compose", "docker compose"), id="a docker command"
        ),
    ],
)
def test_podman_is_found_and_told_how_to_build(detect, machine, said):
    done = detect(machine)

    assert (done.code, done.env) == (0, "ACCELERATOR=cpu\n")
    assert done.lines[-1] == "write-env: wrote ACCELERATOR=cpu to .env"
    assert len(done.lines) == 2
    assert said in done.lines[0]


def test_podman_does_not_answer_for_a_docker_that_is_stopped(detect):
    """It would decide for good: ACCELERATOR is kept once it is written."""
    done = detect(Machine(None, others=podman("docker-compose").others))

    assert done.env is None
    assert "ACCELERATOR was not written" in done.lines[0]


def test_podman_without_a_cdi_file_of_the_gpu_is_told_how_to_make_one(detect):
    done = detect(podman("bin/podman-compose", gpu=True))

    assert done.env == "ACCELERATOR=cpu\n"
    assert "nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml" in done.lines[-2]


@pytest.mark.parametrize("name", ["nvidia.yaml", "nvidia.json", "other.yaml"])
@pytest.mark.parametrize("place", [0, 1])
def test_docker_26_is_believed_by_the_files_of_its_cdi(detect, tmp_path, name, place):
    folders = [tmp_path / "etc/cdi", tmp_path / "run/cdi"]
    folders[place].mkdir(parents=True)
    (folders[place] / name).write_text(
        "kind: nvidia.com/gpu\n" if "nvidia" in name else "kind: intel.com/gpu\n"
    )

    done = detect(Machine({**DOCKER_23, "CDISpecDirs": [str(folder) for folder in folders]}, gpu=True))

    assert done.env == f"ACCELERATOR={'cdi' if 'nvidia' in name else 'cpu'}\n"


@pytest.mark.parametrize("chosen", ["", "ACCELERATOR=cdi\n"], ids=["detected", "chosen before"])
@pytest.mark.parametrize(
    ("ids", "settings"),
    [
        ("all", "GPU_IDS=all"),
        ("1", "GPU_IDS=1"),
        ("GPU-4f2c", "GPU_IDS=GPU-4f2c"),
        ("0,", "GPU_IDS=0,"),
        ("0,1", "GPU_IDS=0|SECOND_GPU=nvidia.com/gpu=1"),
        ('"0, 1"', "GPU_IDS=0|SECOND_GPU=nvidia.com/gpu=1"),
        ("3,GPU-4f2c,0", "GPU_IDS=3|SECOND_GPU=nvidia.com/gpu=GPU-4f2c|THIRD_GPU=nvidia.com/gpu=0"),
        (
            "0,1,2,3",
            "GPU_IDS=0|SECOND_GPU=nvidia.com/gpu=1|THIRD_GPU=nvidia.com/gpu=2|FOURTH_GPU=nvidia.com/gpu=3",
        ),
    ],
)
def test_with_cdi_each_gpu_gets_a_setting(detect, ids, settings, chosen):
    machine = Machine({**DOCKER_28, **DEVICES}, gpu=True)

    done = detect(machine, f"USER_ID=1\nGPU_IDS={ids}\nSECOND_GPU=\n{chosen}")

    lines = set(done.env.splitlines()) - {"SECOND_GPU="}
    assert (done.code, lines) == (0, {"USER_ID=1", "ACCELERATOR=cdi", *settings.split("|")})
    assert detect(machine, done.env) == Detection(0, [], done.env)


def test_a_full_disk_takes_no_setting_away(detect):
    """As grep ends where it cannot write; .env may hold a password."""
    grep = f'#!/bin/sh\n[ "$1" != -vE ] || exit 2\nexec {shutil.which("grep")} "$@"\n'
    env = "ACCELERATOR=cdi\nPYPI_PASSWORD=x\nGPU_IDS=0,1\n"

    done = detect(Machine(has_docker=False, others=(("grep", grep),)), env)

    assert (done.code, done.env) == (1, env)


def test_more_gpus_than_settings_are_refused_and_left_as_they_are(detect):
    env = "ACCELERATOR=cdi\nGPU_IDS=0,1,2,3,4\n"

    done = detect(LAPTOP, env)

    assert (done.code, done.env) == (64, env)
    assert len(done.lines) == 1
    assert "GPU_IDS=all" in done.lines[0]


def test_with_nvidia_s_runtime_gpu_ids_stay_as_they_are(detect):
    done = detect(GPU_MACHINE, "GPU_IDS=0,1\n")

    assert done.env == "GPU_IDS=0,1\nACCELERATOR=nvidia\n"


def test_a_gpu_that_the_engine_cannot_use_is_spoken_of(detect):
    done = detect(Machine(DOCKER_28, gpu=True))

    assert "Install the NVIDIA Container Toolkit" in done.lines[0]


def test_docker_desktop_on_linux_is_told_of_docker_engine(detect):
    """Its engine runs in a virtual machine, so the container toolkit of the host does not help."""
    done = detect(Machine(ON_LINUX, gpu=True, hook=True))

    assert done.lines == [
        "write-env: Docker Desktop on Linux has no GPU. For Docker Engine: docker context use default, "
        "remove ACCELERATOR from .env, then: sh docker/write-env.sh",
        "write-env: wrote ACCELERATOR=cpu to .env",
    ]


def test_a_driver_that_finds_no_gpu_is_spoken_of(detect):
    """It may wait for a reboot; the choice stays in .env."""
    done = detect(Machine({**DOCKER_28, **RUNTIME}, gpu=False))

    assert done.lines[0].startswith(
        "write-env: nvidia-smi finds no GPU here. Once it does, remove ACCELERATOR"
    )
    assert "RTX 50 and B200 need the open kernel modules" in done.lines[0]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can start a script as somebody else")
def test_a_file_of_root_s_is_named_with_the_command_that_helps(projects):
    default = next(iter(projects.values()))
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        project = Path(shutil.copytree(default.path, Path(folder, "my-project")))
        (project / ".env").chmod(0o600)

        done = subprocess.run(["sh", SCRIPT], cwd=project, user=4321, capture_output=True, text=True)

    assert done.returncode == 77
    assert done.stderr == (
        'write-env: .env is not yours, so nothing was written. Type: sudo chown "$(id -u)" .env\n'
    )


@pytest.mark.parametrize("machine", [LAPTOP, Machine(ON_LINUX)], ids=["Docker Engine", "Docker Desktop"])
def test_a_laptop_is_told_nothing_of_gpus(detect, machine):
    done = detect(machine)

    assert len(done.lines) == 1


@pytest.mark.parametrize(
    "env",
    [
        pytest.param("ACCELERATOR=cpu\n", id="cpu"),
        pytest.param("ACCELERATOR=nvidia\n", id="nvidia"),
        pytest.param("ACCELERATOR=cpu", id="without a newline"),
        pytest.param("ACCELERATOR=cdi\n", id="cdi"),
        pytest.param("GPU_IDS=1\nACCELERATOR=nvidia\nUSER_ID=\n", id="among other settings"),
    ],
)
@pytest.mark.parametrize("machine", [LAPTOP, GPU_MACHINE, NO_DOCKER], ids=["laptop", "gpu", "none"])
def test_a_choice_that_stands_is_kept_without_a_word(detect, machine, env):
    done = detect(machine, env)

    assert done == Detection(0, [], env)


@pytest.mark.parametrize(
    "env",
    [
        pytest.param("GPU_IDS=1\n", id="another setting"),
        pytest.param("GPU_IDS=1", id="another setting without a newline"),
        pytest.param("# ACCELERATOR=nvidia\n", id="a choice in a comment"),
        pytest.param("MY_ACCELERATOR=nvidia\n", id="a setting with a longer name"),
        pytest.param("ACCELERATOR=\n", id="an empty choice"),
        pytest.param("", id="nothing"),
    ],
)
def test_what_else_the_file_holds_is_kept(detect, env):
    done = detect(LAPTOP, env)

    before = env if env.endswith("\n") or not env else env + "\n"
    assert (done.code, done.env) == (0, before + "ACCELERATOR=cpu\n")


@pytest.mark.parametrize("machine", [LAPTOP, NO_DOCKER], ids=["laptop", "no docker"])
@pytest.mark.parametrize("choice", ["foo", "CPU", "cpu nvidia", "../cpu"])
def test_an_unknown_choice_is_refused_in_one_line_and_left_for_its_owner(detect, machine, choice):
    env = f"GPU_IDS=1\nACCELERATOR={choice}\n"

    done = detect(machine, env)

    assert (done.code, done.env) == (64, env)
    assert len(done.lines) == 1
    assert f"ACCELERATOR={choice} in .env" in done.lines[0]
    assert "write nvidia, cdi or cpu" in done.lines[0]


def test_escape_sequences_in_the_file_do_not_reach_the_terminal(detect):
    done = detect(LAPTOP, "ACCELERATOR=\x1b]0;gotcha\x07cpu\x1b[2J\n")

    assert done.code == 64
    assert not any(character < " " for character in "".join(done.lines))


@pytest.mark.parametrize("env", [None, "GPU_IDS=1\n"], ids=["no .env", "an .env"])
@pytest.mark.parametrize("machine", [ENGINE_IS_DOWN, NO_DOCKER], ids=["no engine", "no docker"])
def test_nothing_is_written_where_no_engine_can_be_asked(detect, machine, env):
    done = detect(machine, env)

    assert (done.code, done.env) == (0, env)
    assert len(done.lines) == 1
    assert "neither Docker nor Podman answers" in done.lines[0]
    assert SCRIPT in done.lines[0]


def test_somebody_who_may_not_use_the_engine_is_told_so(detect):
    done = detect(NOT_ALLOWED)

    assert (done.code, done.env) == (0, None)
    assert len(done.lines) == 1
    assert "Join the group docker" in done.lines[0]


def test_a_warning_of_an_engine_that_answers_is_no_refusal(detect):
    warning = "echo 'WARNING: permission denied for something small' >&2"

    done = detect(Machine(script=f"#!/bin/sh\n{warning}\necho '{{}}'\n"))

    assert (done.code, done.env) == (0, "ACCELERATOR=cpu\n")


@pytest.mark.parametrize(
    "info", ["{}", '{"ClientInfo":{"Plugins":[{"Name":"compose"}]}}'], ids=["", "which the client lists"]
)
def test_an_engine_without_compose_is_told(detect, info):
    """A client can list a plugin that it does not run: it is broken, or of another processor."""
    done = detect(Machine(script=f"#!/bin/sh\n[ $1 = info ] && echo '{info}'\n"))

    assert (done.code, done.env) == (0, "ACCELERATOR=cpu\n")
    assert "docker compose does not run" in done.lines[0]
    assert "install docker-compose-plugin" in done.lines[0]


def with_compose(version: str, info: str = "{}") -> Machine:
    """Return a machine whose `docker compose version --short` says so."""
    return Machine(script=f"#!/bin/sh\ncase $1 in info) echo '{info}' ;; compose) echo {version} ;; esac\n")


@pytest.mark.parametrize("version", ["2.2.3", "2.6.0", "v2.16.0", "2.14.2+azure-1", "2.9.0"])
def test_a_compose_that_is_too_old_is_told_with_both_versions(detect, version):
    done = detect(with_compose(version))

    assert (done.code, done.env) == (0, "ACCELERATOR=cpu\n")
    assert f"docker compose is version {version.removeprefix('v')}" in done.lines[0]
    assert "2.17 or newer" in done.lines[0]
    assert "docker-compose-plugin" in done.lines[0]


@pytest.mark.parametrize(
    "version",
    ["2.17.3", "2.20.2+ds1-0ubuntu1~22.04.1", "2.26.1-4", "v2.29.1-desktop.1", "2.40.3", "5.0.0", "10.1.0"],
)
@pytest.mark.parametrize("info", ["{}", '{"ClientInfo":{"Plugins":[]}}'], ids=["", "which info lacks"])
def test_a_compose_that_is_new_enough_costs_no_line(detect, version, info):
    done = detect(with_compose(version, info))

    assert done.lines == ["write-env: wrote ACCELERATOR=cpu to .env"]


def test_a_settings_file_that_is_closed_is_no_refusal_of_the_engine(detect):
    """After sudo ~/.docker may be root's; that the engine is down is another matter."""
    closed = "WARNING: Error loading config file: open /home/me/.docker/config.json: permission denied"
    down = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock."

    done = detect(Machine(script=f"#!/bin/sh\nprintf '%s\\n' '{closed}' '{down}' >&2\nexit 1\n"))

    assert "neither Docker nor Podman answers" in done.lines[-1]


@pytest.mark.parametrize(
    "line",
    [
        "export ACCELERATOR=nvidia",
        " ACCELERATOR=nvidia",
        "ACCELERATOR = nvidia",
        "ACCELERATOR: nvidia",
        "ACCELERATOR=nvidia  ",
        "ACCELERATOR='nvidia' # a note",
        "\ufeffACCELERATOR=nvidia",
        "ACCELERATOR=nvidia\r",
        "ACCELERATOR=nvidia  # \uff08日本語\uff09",
        "ACCELERATOR=nvidia  # l'autre \xabPC\xbb",
    ],
    ids=repr,
)
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_every_way_to_write_a_choice_that_compose_reads_is_kept(detect, tmp_path, line, encoding):
    dotenv = tmp_path / "my-project/.env"
    before = f"{line}\n".encode(encoding, errors="ignore")
    dotenv.write_bytes(before)

    done = detect(LAPTOP, LC_ALL="C.UTF-8")

    assert (done.code, done.lines, dotenv.read_bytes()) == (0, [], before)


def test_the_second_time_changes_nothing(detect):
    first = detect(LAPTOP)

    second = detect(GPU_MACHINE)

    assert second == Detection(0, [], first.env)


@pytest.mark.parametrize(
    "where",
    [
        pytest.param(lambda project: (project.parent, f"my-project/{SCRIPT}"), id="the folder above"),
        pytest.param(lambda project: (project / "docker", Path(SCRIPT).name), id="its own folder"),
        pytest.param(lambda project: (Path("/"), f"{project}/{SCRIPT}"), id="anywhere"),
    ],
)
def test_it_can_be_called_from(detect, tmp_path, where):
    cwd, script = where(tmp_path / "my-project")

    done = detect(LAPTOP, cwd=cwd, script=script)

    assert (done.code, done.env) == (0, "ACCELERATOR=cpu\n")


def test_a_cdpath_of_the_user_leads_nowhere_else(detect, tmp_path):
    (tmp_path / "elsewhere" / "docker").mkdir(parents=True)

    done = detect(LAPTOP, CDPATH=str(tmp_path / "elsewhere"))

    assert done.env == "ACCELERATOR=cpu\n"
    assert not (tmp_path / "elsewhere" / ".env").exists()


def test_a_file_that_cannot_be_written_is_named_in_one_line(detect, tmp_path):
    # for root, too: a link to where no file can be
    (tmp_path / "my-project" / ".env").symlink_to("missing/folder/.env")

    done = detect(LAPTOP)

    assert done.code != 0
    assert len(done.lines) == 1
    assert ".env" in done.lines[0]
