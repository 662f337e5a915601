"""What the bench computes: the sizes in a lock, and the layers that a push sends."""

from __future__ import annotations

import gzip
import io
import json
import tarfile

import pytest

from benchmarks import layers, sizes
from capy_template.matrix import load

WHEELS = {"torch": 500, "nvidia-cublas": 400, "cuda-bindings": 20, "numpy": 7, "onnxruntime-gpu": 250}


def test_pip_beside_nvidias_image_fetches_cuda_again_for_pytorch_alone():
    without_torch = {name: size for name, size in WHEELS.items() if name != "torch"}

    assert sizes.pip_beside_cuda(WHEELS) == 1177
    assert sizes.pip_beside_cuda(without_torch) == 257


def test_the_large_packages_are_those_of_the_project():
    large = [name for name in WHEELS if sizes.large().fullmatch(name)]

    assert large == [*WHEELS]  # NumPy too


def test_each_line_has_the_image_that_a_dockerfile_would_begin_with():
    assert sizes.IMAGES.keys() == load()["lines"].keys()


@pytest.mark.parametrize(
    ("name", "there"),
    [
        *[("nvidia-cublas-cu12", True), ("nvidia-npp", True), ("nvidia-cuda-runtime-cu12", True)],
        *[("nvidia-cuda-nvcc-cu12", False), ("nvidia-cuda-cupti", False), ("nvidia-cublasmp-cu12", False)],
    ],
)
def test_a_runtime_image_has_the_libraries_and_no_compiler(name, there):
    assert bool(sizes.RUNTIME.fullmatch(name)) is there


def test_a_lock_tells_the_size_of_each_file():
    lock = {
        "package": [
            {
                "name": "a",
                "wheels": [{"url": "https://x/a.whl", "size": 5}],
                "sdist": {"url": "https://x/a.tar.gz", "size": 9},
            },
            {"name": "project", "source": {"virtual": "."}},
            {"name": "b", "wheels": [{"path": "b.whl"}]},
        ]
    }

    assert sizes.by_address({"package": lock["package"][:2]}) == {
        "https://x/a.whl": 5,
        "https://x/a.tar.gz": 9,
    }


def test_the_table_tells_where_the_matrix_is_wrong(monkeypatch, capsys):
    right = sizes.Download("full", "cu13-py312", 30e6, int(3.4e9), int(3.2e9), 3.5e9, 5.6e9)
    wrong = sizes.Download("training-ngc", "cu13-py312", 10e9, int(1e8), 0, 9e9, None)
    monkeypatch.setattr(sizes, "downloads", lambda: iter([right, wrong]))

    code = sizes.main()

    printed = capsys.readouterr()
    row = "| `full` | `cu13-py312` | 0.03 GB | 3.40 GB | 3.20 GB | 3.57 GB | 3.50 GB | 5.60 GB |"
    assert row in printed.out.splitlines()
    assert printed.err == "bench: matrix.yaml: training-ngc: download_gb: cu13-py312: 9 should be 10.2\n"
    assert code == 1


class FakeEngine:
    """An engine whose image has these layers."""

    def __init__(self, contents: dict[str, bytes]) -> None:
        self.contents = contents

    def docker(self, *arguments: str) -> str:
        assert arguments[-1] == "image"
        return json.dumps(list(self.contents))

    def environment(self) -> dict[str, str]:
        return {}


def test_the_layers_that_the_image_before_had_are_not_pushed(tmp_path, monkeypatch):
    engine = FakeEngine({"sha256:base": b"x" * 5_000_000, "sha256:new": b"0123456789" * 300_000})

    def save(command: list[str], **_: object):
        with tarfile.open(command[3], "w") as archive:
            names = [f"blobs/sha256/{number}" for number in range(2)]
            files = dict(zip(names, engine.contents.values(), strict=True))
            files["manifest.json"] = json.dumps([{"Layers": names}]).encode()
            for name, data in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
        return layers.subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(layers.subprocess, "run", save)

    found = layers.new_layers(engine, "image", ["sha256:base"], tmp_path)

    assert found.unpacked == 3
    assert found.pushed == pytest.approx(len(gzip.compress(engine.contents["sha256:new"], 6)) / 1e6, rel=0.01)
    assert not any(tmp_path.iterdir())
