"""Test the GPU path without a GPU: the requested devices, and the errors without one."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from python_on_whales import DockerClient, DockerException

from engines.gpu_engine import GpuEngine, copy_image, gpu_engine
from engines.steps import EngineError
from tests.support.engine import give_up
from tests.support.workers import image_of

HOOK = Path(__file__).parent.parent / "support" / "nvidia-container-runtime-hook"


@pytest.fixture
def compose(project, nvidia_image, monkeypatch):
    """compose(**settings): a client of the project's compose.yaml with ACCELERATOR=nvidia."""
    clients = []

    def make(host: str | None = None, **settings: str) -> DockerClient:
        for name, value in {"ACCELERATOR": "nvidia", **settings}.items():
            monkeypatch.setenv(name, value)
        client = DockerClient(host=host, compose_project_directory=project.path)
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.compose.down(remove_orphans=True, quiet=True)


@pytest.mark.parametrize("gpus", ["all", "1", "0,1", "GPU-4f2c"])
def test_the_container_carries_the_reservation(compose, gpus):
    client = compose(GPU_IDS=gpus)

    client.compose.create(["app"], no_build=True)

    [container] = client.compose.ps(all=True)
    [request] = container.host_config.device_requests
    assert (request.driver, request.device_ids, request.capabilities) == (
        "nvidia",
        [gpus],
        [["gpu"]],
    )


def test_without_accelerator_cpu_the_container_has_no_reservation(compose):
    client = compose(ACCELERATOR="cpu")

    client.compose.create(["app"], no_build=True)

    [container] = client.compose.ps(all=True)
    assert not container.host_config.device_requests


def test_an_engine_without_a_gpu_says_what_the_page_of_errors_explains(compose, project):
    client = compose()
    if "nvidia" in client.system.info().runtimes:
        pytest.skip("this engine has NVIDIA's runtime")

    with pytest.raises(DockerException) as error:
        client.compose.run("app", ["script.py"], tty=False, remove=True)

    message = 'could not select device driver "nvidia" with capabilities: [[gpu]]'
    assert message in error.value.stderr
    assert message in project.read("docs/errors.md")


def test_cuda_that_is_installed_but_does_not_work_costs_one_line_not_the_run(
    start, nvidia_image, project, docker
):
    """ONNX Runtime lists CUDA as available here, without any GPU: the script believes its session only."""
    done = project.run(
        "docker", "run", "--rm", "--volume", f"{project.path}:/code", nvidia_image, "script.py"
    )

    assert done.returncode == 0, done.stderr
    assert "CPUExecutionProvider" in done.stdout
    [line] = [line for line in done.stderr.splitlines() if "wrote uv.lock" not in line]
    assert "CUDA" in line
    available = docker.run(
        nvidia_image,
        ["-c", "import onnxruntime; print(onnxruntime.get_available_providers())"],
        remove=True,
    )
    assert "CUDAExecutionProvider" in available


@pytest.fixture(scope="session")
def with_gpu(engine, light_image, pytestconfig) -> Iterator[GpuEngine]:
    """A second engine with a recording hook in NVIDIA's place, and an image of the project's name on it."""
    with ExitStack() as stack:
        try:
            second = stack.enter_context(gpu_engine("gputest", HOOK))
        except EngineError as error:
            give_up(pytestconfig, f"NO SECOND ENGINE: {error}")
        copy_image(light_image, engine, second)
        for accelerator in ("cpu", "nvidia"):
            DockerClient(host=second.host).image.tag(light_image, image_of("capy-test", accelerator))
        yield second


@pytest.mark.parametrize(
    ("settings", "visible", "shown"),
    [
        pytest.param({}, "all", ["GPU 0", "GPU 1"], id="the default"),
        pytest.param({"GPU_IDS": "all"}, "all", ["GPU 0", "GPU 1"], id="all"),
        pytest.param({"GPU_IDS": "1"}, "1", ["GPU 1"], id="one"),
        pytest.param({"GPU_IDS": "0,1"}, "0,1", ["GPU 0", "GPU 1"], id="two"),
        pytest.param({"GPU_IDS": "GPU-4f2c"}, "GPU-4f2c", ["GPU GPU-4f2c"], id="a UUID"),
    ],
)
def test_the_chosen_gpus_reach_nvidia_s_hook(compose, with_gpu, settings, visible, shown):
    calls = len(with_gpu.calls())

    output = compose(host=with_gpu.host, **settings).compose.run(
        "app", ["nvidia-smi"], tty=False, remove=True
    )

    [call] = with_gpu.calls()[calls:]
    assert (call["visible"], call["args"]) == (visible, ["prestart"])
    stand_in, *gpus = output.splitlines()
    assert stand_in.startswith("stand-in for nvidia-smi")
    assert gpus == shown


@pytest.mark.parametrize("wanted", ["compute,utility,video", "all"])
def test_video_decoding_is_had_beside_compute(compose, with_gpu, project, wanted):
    """By NVIDIA's own variable; `capabilities: [gpu, video]` would make it video alone."""
    own = project.path / "compose.project.yaml"
    line = f"      NVIDIA_DRIVER_CAPABILITIES: {wanted}\n"
    own.write_text(own.read_text().replace("    environment:\n", f"    environment:\n{line}"))
    calls = len(with_gpu.calls())

    compose(host=with_gpu.host).compose.run("app", ["true"], tty=False, remove=True)

    [call] = with_gpu.calls()[calls:]
    assert (call["visible"], call["capabilities"]) == ("all", wanted)


def test_capabilities_in_an_override_take_compute_away(compose, with_gpu, project):
    """What the doctor names, and docs/gpu.md advises against."""
    device = "{driver: nvidia, device_ids: [all], capabilities: [gpu, video]}"
    override = project.path / "compose.override.yaml"
    override.write_text(
        f"services: {{app: {{deploy: {{resources: {{reservations: {{devices: [{device}]}}}}}}}}}}"
    )
    calls = len(with_gpu.calls())

    client = DockerClient(
        host=with_gpu.host,
        compose_project_directory=project.path,
        compose_files=[project.path / "compose.yaml", override],
    )
    client.compose.run("app", ["true"], tty=False, remove=True)

    assert with_gpu.calls()[calls:][-1]["capabilities"] == "video"


def test_accelerator_cpu_asks_the_hook_for_nothing(compose, with_gpu):
    calls = len(with_gpu.calls())

    with pytest.raises(DockerException) as error:
        compose(host=with_gpu.host, ACCELERATOR="cpu").compose.run(
            "app", ["nvidia-smi"], tty=False, remove=True
        )

    assert "entrypoint: nvidia-smi: no such command" in error.value.stderr
    assert with_gpu.calls()[calls:] == []


def test_plain_docker_run_with_gpus_keeps_working(with_gpu, project):
    """The guide's own line: docker run --gpus all -e USER_ID -e GROUP_ID -v "$PWD":/code IMAGE …"""
    output = DockerClient(host=with_gpu.host).run(
        image_of("capy-test", "nvidia"),
        ["-c", "import os; print(os.getuid(), os.getgid()); os.system('nvidia-smi')"],
        gpus="all",
        envs={"USER_ID": "1234", "GROUP_ID": "5678"},
        volumes=[(project.path, "/code")],
        remove=True,
    )

    assert output.splitlines()[0] == "1234 5678"
    assert output.splitlines()[2:] == ["GPU 0", "GPU 1"]
