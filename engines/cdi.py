"""Provide GPUs by CDI on a machine without a GPU: a spec whose devices are /dev/null.

CDI (Container Device Interface): a file on the host describes what a container with a device gets.
NVIDIA's is made by `nvidia-ctk cdi generate`; ours has the same kind and names.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engines import docker_versions, engine
from engines.daemon import Daemon
from engines.engine import Engine
from engines.gpu_engine import make_bridge, programs, remove, second_daemon
from engines.steps import locked

KIND = "nvidia.com/gpu"
GPUS = ("0", "1")


def spec() -> str:
    """Return the spec: GPUs 0 and 1 as /dev/nvidia0 and /dev/nvidia1, and `all`."""

    def device(name: str, gpus: tuple[str, ...]) -> dict:
        nodes = [
            {"path": f"/dev/nvidia{gpu}", "hostPath": "/dev/null", "type": "c", "major": 1, "minor": 3}
            for gpu in gpus
        ]
        return {"name": name, "containerEdits": {"deviceNodes": nodes}}

    devices = [device("all", GPUS), *(device(gpu, (gpu,)) for gpu in GPUS)]
    # as in NVIDIA's spec: NVIDIA's runtime must not add more
    edits = {"env": ["NVIDIA_VISIBLE_DEVICES=void"]}
    return json.dumps({"cdiVersion": "0.5.0", "kind": KIND, "devices": devices, "containerEdits": edits})


def write_spec(folder: Path) -> Path:
    """Write the spec into a folder of specs and return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "nvidia.json"
    file.write_text(spec())
    return file


@contextmanager
def cdi_engine(name: str, suite: str = "") -> Iterator[Engine]:
    """Lend an engine that has GPUs by CDI alone: neither NVIDIA's runtime nor its hook.

    `suite`: another Debian suite's Docker than the newest. It has no images (see `copy_image`).
    Raises EngineError where no dockerd can be started.
    """
    plain = second_daemon(name)
    specs = plain.run / "cdi"
    daemon = Daemon(plain.name, plain.bridge, (f"--cdi-spec-dir={specs}",), features=("cdi",))
    server, client = programs()
    try:
        with locked():
            if suite:
                server = docker_versions.server(suite)
            remove(daemon, client)
            write_spec(specs)
            make_bridge(daemon.bridge)
            daemon.start(server)
        yield engine.private(daemon, client)
    finally:
        with locked():
            remove(daemon, client)
