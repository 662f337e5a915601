"""The doctor as a package, and a machine made of fakes for it to look at; no Docker and no GPU needed."""

import importlib
import json
import platform
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.conftest import TEMPLATE

DOCKER = TEMPLATE / "{{checked(cookiecutter.project)}}" / "docker"

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(DOCKER)
    # compiled code beside the template's own would become a file of every project
    patch.setattr(sys, "dont_write_bytecode", True)
    importlib.import_module("doctor.report")

from doctor import (  # noqa: E402
    Facts,
    facts,
    gpu,
    libraries,
    processes,
    registry,
    shared_objects,
    system_packages,
)

FULL = {
    "environment": "full",
    "line": "cu13-py312",
    "cuda": 13,
    "cudnn": 9,
    "cuda_from": "wheels",
    "minimum_driver": "580.65.06",
    "minimum_python": "3.10",
    "shared_memory_mib": 2048,
    "packages": [],
    "frameworks": {
        "onnxruntime": {
            "version": "1.31.1",
            "architectures": {
                "x86_64": ["7.5", "8.0", "8.6", "8.9", "9.0a", "12.0a"],
                "aarch64": ["8.9", "9.0a", "12.0a", "12.1a"],
            },
            "lazy_libraries": ["libcudnn.so.9", "libcufft.so.12"],
        },
        "torch": {
            "version": "2.14.1",
            "architectures": {"x86_64": ["7.5", "12.0", "12.0+PTX"], "aarch64": ["8.0", "9.0", "12.0"]},
            "lazy_libraries": [],
        },
    },
    "cuda_packages": [],
    "lines_with_cuda": {"x86_64": ["cu13-py312", "cu12-py312"], "aarch64": ["cu13-py312"]},
}
# What a build runs.
BUILD_CHECKS = ["python", "packages", "cuda-major", "libraries", "cudnn", "cuda-builds", "torch-builds"]
BUILD_CHECKS += ["shared-objects", "requirements", "imports"]
CUDNN_PARTS = ("graph", "ops", "cnn", "adv", "heuristic", "engines_precompiled", "engines_runtime_compiled")


class Machine:
    """A machine in a folder: packages, libraries, devices and tools, all of them fakes."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch):
        self.root, self.monkeypatch = root, monkeypatch
        self.site = root / "site-packages"
        self.bin = root / "bin"
        self.facts = json.loads(json.dumps(FULL))
        for folder in (self.site, self.bin, root / "dev"):
            folder.mkdir()
        monkeypatch.setattr(sys, "path", [str(self.site), *(p for p in sys.path if "-packages" not in p)])
        monkeypatch.setenv("PATH", f"{self.bin}:/usr/bin:/bin")
        monkeypatch.setenv("PYTHONPATH", str(self.site))
        for name in ("LD_LIBRARY_PATH", "ACCELERATOR", "USER_ID", "GROUP_ID", "NVIDIA_VISIBLE_DEVICES"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(gpu, "DEVICES", root / "dev")
        monkeypatch.setattr(gpu, "KERNEL_DRIVER", root / "version")
        monkeypatch.setattr(facts, "ENVIRONMENT", root / "environment.json")
        monkeypatch.setattr(processes, "PYTHON", [sys.executable, "-B"])  # -I would not see our site-packages
        monkeypatch.setattr(registry, "OWNERS_CHECKS", root / "checks.py")
        monkeypatch.setattr(shared_objects, "SYSTEM_FOLDERS", ())
        monkeypatch.setattr(system_packages, "OS_RELEASE", root / "os-release")
        self.release("debian", "12")
        self.processor("x86_64")
        monkeypatch.setattr(shared_objects, "VENV", root)
        monkeypatch.chdir(root)
        self.tool("ldconfig", "true")
        self.tool("ldd", "true")

    def tool(self, name: str, script: str) -> None:
        (self.bin / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.bin / name).chmod(0o755)

    def prints(self, name: str, text: str) -> None:
        (self.root / f"{name}.out").write_text(text)
        self.tool(name, f"cat {self.root / name}.out")

    def module(self, name: str, code: str = "") -> Path:
        folder = self.site / name
        folder.mkdir(exist_ok=True)
        (folder / "__init__.py").write_text(code)
        return folder

    def release(self, name: str, version: str) -> None:
        (self.root / "os-release").write_text(f'PRETTY_NAME="x"\nID={name}\nVERSION_ID="{version}"\n')

    def dist(self, name: str, version: str, *requires: str, files: Iterable[str] = ()) -> None:
        folder = self.site / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        needs = "".join(f"Requires-Dist: {line}\n" for line in requires)
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}\nName: not of the header\n"
        (folder / "METADATA").write_text(text)
        (folder / "RECORD").write_text("".join(f"{file},sha256=x,1\n" for file in files))

    def wheel(self, name: str, version: str, *requires: str, files: dict[str, bytes]) -> None:
        """A distribution with shared objects, as `elf` makes them."""
        self.dist(name, version, *requires, files=files)
        for file, content in files.items():
            (self.site / file).parent.mkdir(parents=True, exist_ok=True)
            (self.site / file).write_bytes(content)

    def package_that_fails(self, name: str, library: str) -> None:
        """What Python imports, and what it says where the loader lacks a library."""
        error = f"{library}: cannot open shared object file: No such file or directory"
        self.module(name, f"raise ImportError({error!r})")

    def onnxruntime(self, name="onnxruntime-gpu", version="1.31.1", cuda="13.0", code="") -> None:
        self.dist(name, version)
        capi = self.module("onnxruntime", code) / "capi"
        capi.mkdir(exist_ok=True)
        line = f"cuda_version = '{cuda}'\n" if cuda else ""
        (capi / "build_and_package_info.py").write_text(f"package_name = '{name}'\n{line}")
        if cuda is not None:
            (capi / "libonnxruntime_providers_cuda.so").touch()

    def torch(self, version="2.14.1", cuda="13.0", code="") -> None:
        self.dist("torch", version)
        folder = self.module("torch", code)
        (folder / "version.py").write_text(f"from typing import Optional\ncuda: Optional[str] = {cuda!r}\n")
        (folder / "lib").mkdir()
        (folder / "lib/libtorch_cuda.so").touch()

    def library(self, path: Path | str) -> Path:
        """A real shared library: it has the name, and can be opened."""
        path = self.site / path
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(libraries.opened(["libdl.so.2"])[0]["libdl.so.2"], path)  # glibc's empty one
        return path

    def cuda_wheels(self) -> None:
        libraries = [self.library("nvidia/cu13/lib/libcufft.so.12")]
        libraries += [self.library("nvidia/cudnn/lib/libcudnn.so.9")]
        for part in CUDNN_PARTS:
            self.library(f"nvidia/cudnn/lib/libcudnn_{part}.so.9")
        # a new LD_LIBRARY_PATH counts for the processes that the doctor starts
        self.monkeypatch.setenv("LD_LIBRARY_PATH", ":".join(str(lib.parent) for lib in libraries))
        self.prints("ldd", f"\tlibcudart.so.13 => {self.site}/nvidia/cu13/lib/libcudart.so.13 (0x1)\n")

    def processor(self, name: str) -> None:
        self.monkeypatch.setattr(platform, "machine", lambda: name)

    def gpu(self, driver="580.95.05", capability="9.0", name="NVIDIA H100") -> None:
        (self.root / "dev/nvidiactl").touch()
        (self.root / "dev/nvidia0").touch()
        self.tool(
            "nvidia-smi",
            f"case $1 in *=driver_version) echo '{driver}' ;; *) echo '{capability}, {name}' ;; esac",
        )

    def without(self, framework: str) -> None:
        del self.facts["frameworks"][framework]

    def finds(self, check: str, accelerator: str = "nvidia") -> list:
        facts = Facts(**self.facts, accelerator=accelerator)
        (chosen,) = [c for c in registry.CHECKS if c.name == check]
        return registry.run(chosen, facts)

    def remarks(self, check: str, accelerator: str = "nvidia") -> list[str]:
        return [f.found for f in self.finds(check, accelerator) if f.status == "remark"]

    def problems(self, check: str, accelerator: str = "nvidia") -> str:
        """What was found, why and what to type, of the problems alone; "" on a healthy machine."""
        problems = [f for f in self.finds(check, accelerator) if f.status == "problem"]
        assert all(f.found and f.why and f.fix for f in problems)
        return "\n".join(f"{f.found} | {f.why} | {f.fix}" for f in problems)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine on which nothing is installed yet."""
    return Machine(tmp_path, monkeypatch)
