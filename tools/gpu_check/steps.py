"""Run the steps of a GPU check, the most important first; each adds to the report."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import environment
from report import Report

PROBES = Path(__file__).resolve().parent / "probes"
# The doctor's checks for containers only: this machine may have its own cuDNN, for example.
OF_A_CONTAINER = {"folders", "user", "python", "shared-memory", "gpu", "cudnn"}
SECONDS = 150  # for one command
ON_GPU = {
    "inference": re.compile(r"^provider +CUDAExecutionProvider$", re.MULTILINE),
    "training": re.compile(r"^device +(?!CPU)\S", re.MULTILINE),
    "full": re.compile(r"^provider +CUDAExecutionProvider$", re.MULTILINE),
}
# The line with which a script compares the two, or a training ends each epoch.
SPEED = {
    "inference": re.compile(r"^speed +(.+, GPU .+)$", re.MULTILINE),
    "training": re.compile(r"^epoch .* s  ([\d,]+ digits/s)$", re.MULTILINE),
    "full": re.compile(r"^speed +(.+, GPU .+)$", re.MULTILINE),
}
# The doctor's checks that compute something, for each environment.
COMPUTES = {"inference": ["onnxruntime"], "training": ["torch"], "full": ["torch", "onnxruntime"]}


@dataclass
class Machine:
    """The check's folder on this machine, and the doctor's findings so far."""

    work: Path
    findings: dict[str, dict[str, dict]] = field(default_factory=dict)  # environment -> check -> finding
    deadline: float = float("inf")  # on the monotonic clock

    @property
    def has_onnxruntime(self) -> bool:
        """Return whether the check's environment has ONNX Runtime."""
        return any((self.work / "environment").glob("lib/python3*/site-packages/onnxruntime"))

    @property
    def environments(self) -> list[str]:
        """Return the environments whose packages are available."""
        return [name for name in COMPUTES if name == "training" or self.has_onnxruntime]

    @property
    def python(self) -> Path:
        """Return the Python of the check's environment."""
        return self.work / "environment/bin/python"

    def project(self, name: str) -> Path:
        """Return the project of an environment."""
        return self.work / "projects" / name

    def settings(self, **more: str) -> dict[str, str]:
        """Return the environment of a child process: the image's variables, with folders of the check."""
        made, cache = self.work / "environment", self.work / "cache"
        home = self.work / "home"
        for folder in (cache, home):
            folder.mkdir(exist_ok=True)
        return {
            **os.environ,
            "ACCELERATOR": "nvidia",
            "CUDA_CACHE_PATH": str(cache / "nv"),
            "HOME": str(home),
            "LD_LIBRARY_PATH": environment.libraries(made),  # ldconfig in the image
            "PATH": f"{made / 'bin'}:{os.environ['PATH']}",
            "PYTHONDONTWRITEBYTECODE": "1",  # the packages are hard links to the machine's own
            "TORCHINDUCTOR_CACHE_DIR": str(cache / "torchinductor"),
            "TRITON_CACHE_DIR": str(cache / "triton"),
            "UV_PROJECT_ENVIRONMENT": str(made),
            "VIRTUAL_ENV": str(made),
            "XDG_CACHE_HOME": str(cache),
            **more,
        }

    def run(
        self, *command: str | Path, folder: Path | None = None, **settings: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command; after a timeout its exit code is 124."""
        seconds = max(1, min(SECONDS, self.deadline - time.monotonic()))
        captured = {"text": True, "errors": "replace", "stdin": subprocess.DEVNULL, "start_new_session": True}
        captured |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        try:
            process = subprocess.Popen(command, cwd=folder, env=self.settings(**settings), **captured)
        except OSError as error:
            return subprocess.CompletedProcess(command, 127, "", f"{error.filename}: {error.strerror}")
        try:
            output, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # its workers, too
            output, errors = process.communicate()
            errors += f"\nno answer within {seconds:.0f} s"
        return subprocess.CompletedProcess(command, process.returncode, output, errors)

    def in_project(self, name: str, *command: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run the environment's Python in a project, with the project's package in its path."""
        project = self.project(name)
        source = {"PYTHONPATH": str(project / "src")}
        return self.run(self.python, *command, folder=project, **(source | settings))


def run(name: str, machine: Machine, report: Report) -> None:
    """Run a step; report an unexpected error as a failure."""
    begin = time.monotonic()
    if begin > machine.deadline:
        report.fail(name, "not started: no time left (--seconds)")
        return
    print(f"gpu-check: {name} …", file=sys.stderr, flush=True)
    try:
        STEPS[name](machine, report)
    except Exception as error:
        report.fail(name, f"{type(error).__name__}: {error}")
    print(f"gpu-check: {name}: {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)


def facts(machine: Machine, report: Report) -> None:
    """Report the driver's and PyTorch's facts of the machine."""
    smi = read_smi(machine)
    done = machine.run(machine.python, PROBES / "torch_facts.py")
    if done.returncode:
        report.fail("PyTorch", last_line(done.stderr))
        return
    torch = json.loads(done.stdout)
    gpus = torch.pop("gpus", [])
    report.table(
        "Machine",
        {
            "GPU": ", ".join(gpu["name"] for gpu in gpus) or "none",
            "compute capability": ", ".join(".".join(map(str, gpu["capability"])) for gpu in gpus) or "none",
            "driver": smi.get("driver_version", "none"),
            "CUDA of the driver": smi.get("cuda_version", "none"),
            "kernel": os.uname().release,
            "Python": sys.version.split()[0],
            "compiler": machine.run("cc", "--version").stdout.partition("\n")[0] or "none",
            **{name: ", ".join(value) if isinstance(value, list) else value for name, value in torch.items()},
        },
    )
    if not gpus:
        report.fail("GPU", f"PyTorch finds none; nvidia-smi: {smi.get('product_name', 'none either')}")
    matrix = doctor_facts(machine, "training")
    if torch["torch"].partition("+")[0] != (wanted := matrix["frameworks"]["torch"]["version"]):
        report.note(f"torch is {torch['torch']}, not {wanted}")
    majors = int(torch["torch_cuda"].partition(".")[0]), torch["torch_cudnn"] // 10_000
    if majors != (matrix["cuda"], matrix["cudnn"]):
        report.note(
            f"torch is for CUDA {majors[0]} and cuDNN {majors[1]}, not {matrix['cuda']} and {matrix['cudnn']}"
        )
    if (version := smi.get("driver_version")) and version_tuple(version) < version_tuple(
        matrix["minimum_driver"]
    ):
        report.note(f"the driver is {version}, older than {matrix['minimum_driver']}")


def parser(machine: Machine, report: Report) -> None:
    """Compare what the doctor reads from nvidia-smi with nvidia-smi's XML."""
    smi = read_smi(machine)
    fields = ("driver_version", "compute_cap,name")
    raw = [
        machine.run("nvidia-smi", f"--query-gpu={name}", "--format=csv,noheader").stdout for name in fields
    ]
    report.output("nvidia-smi, as the doctor asks it", "".join(raw))
    report.output("nvidia-smi", machine.run("nvidia-smi").stdout)
    kernel = Path("/proc/driver/nvidia/version")
    report.output(str(kernel), kernel.read_text() if kernel.is_file() else "not there")
    found = findings(machine, machine.environments[-1])
    for check, value in {"driver": smi.get("driver_version"), "kernels": smi.get("product_name")}.items():
        if value and value not in found.get(check, {}).get("found", ""):
            report.disagree(f"{check}: nvidia-smi's XML has {value}, the doctor: {found.get(check)}")


def doctor(machine: Machine, report: Report) -> None:
    """Add the doctor's table of each environment."""
    for name in machine.environments:
        done = machine.run(machine.python, doctor_program(machine, name))
        report.output(f"doctor, {name} (exit code {done.returncode})", done.stdout + done.stderr)


def scripts(machine: Machine, report: Report) -> None:
    """Run script.py of each environment on the GPU and the CPU, and compare with the doctor's report."""
    speeds = {}
    for name in machine.environments:
        done = machine.in_project(name, "script.py")
        report.output(f"script.py, {name} (exit code {done.returncode})", done.stdout + done.stderr)
        if done.returncode:
            report.fail(f"script.py, {name}", last_line(done.stderr))
        on_gpu = bool(ON_GPU[name].search(done.stdout))
        compare(machine, report, name, on_gpu)
        said = SPEED[name].findall(done.stdout)
        speeds[name] = said[-1] if said else "not said"
        if on_gpu and not said:
            report.fail(f"script.py, {name}", "it ran on the GPU and does not say how fast")
        hidden = machine.in_project(name, "script.py", "--output", "outputs/cpu.png", CUDA_VISIBLE_DEVICES="")
        if name == "inference":
            report.output(f"script.py, {name}, the GPU hidden", hidden.stdout + hidden.stderr)
    report.table("Speed", speeds)


def compare(machine: Machine, report: Report, name: str, on_gpu: bool) -> None:
    """Report a script that ran on another device than the doctor said."""
    found = findings(machine, name)
    promised = all(found.get(check, {}).get("status") == "ok" for check in COMPUTES[name])
    if promised != on_gpu:
        said = {check: found.get(check, {}).get("found") for check in COMPUTES[name]}
        report.disagree(f"{name}: script.py ran on the {'GPU' if on_gpu else 'CPU'}; the doctor: {said}")
    problems = {
        check: finding["found"]
        for check, finding in found.items()
        if finding["status"] == "problem" and check not in OF_A_CONTAINER
    }
    if on_gpu and problems:
        report.disagree(f"{name}: script.py ran on the GPU; the doctor has problems: {problems}")


def broken(machine: Machine, report: Report) -> None:
    """Check that the script and the doctor report a fallback of ONNX Runtime without NVIDIA's packages."""
    for name in set(machine.environments) & {"inference"}:
        without = {"LD_LIBRARY_PATH": os.environ.get("LD_LIBRARY_PATH", "")}
        done = machine.in_project(name, "script.py", "--output", "outputs/broken.png", **without)
        found = findings(machine, name, **without)
        said = {check: found[check]["found"] for check in ("libraries", "onnxruntime")}
        report.output("script.py, inference, without NVIDIA's libraries", done.stdout + done.stderr)
        report.table("doctor, inference, without NVIDIA's libraries", said)
        on_gpu = bool(ON_GPU[name].search(done.stdout))  # if the machine itself has CUDA
        computes, complete = (found[check]["status"] == "ok" for check in ("onnxruntime", "libraries"))
        if on_gpu != computes or complete or (not on_gpu and "CUDA" not in done.stderr):
            report.disagree(f"without libraries: script.py on the GPU: {on_gpu}; the doctor: {said}")


def caches(machine: Machine, report: Report) -> None:
    """Check the JIT caches: the first process fills them, the second adds nothing and is faster."""
    rows = {}
    for probe, folders in {"jit": ["nv"], "compile": ["triton", "torchinductor"]}.items():
        seconds, sizes = [], []
        for _ in range(2):
            done = machine.run(machine.python, PROBES / f"{probe}.py")
            if done.returncode:
                report.fail(f"probes/{probe}.py", last_line(done.stderr))
                break
            answer = json.loads(done.stdout.splitlines()[-1])
            if not answer["right"]:
                report.fail(f"probes/{probe}.py", "a wrong result")
            seconds.append(answer["seconds"])
            sizes.append({name: contents(machine.work / "cache" / name) for name in folders})
        if len(seconds) == 2:
            times = " s, then ".join(f"{value:.2f}" for value in seconds)
            for name, (files, size) in sizes[0].items():
                rows[f"{probe}: {name}"] = f"{times} s; {files} files, {size:,} bytes"
            if (
                sizes[0] != sizes[1]
                or not all(files for files, _ in sizes[0].values())
                or seconds[1] > seconds[0]
            ):
                report.fail("caches", f"{probe}.py does not use its cache: {times} s, {sizes}")
    report.table("JIT caches, two processes", rows)


def contents(folder: Path) -> tuple[int, int]:
    """Return the number of files in a folder, and their bytes."""
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return len(sizes), sum(sizes)


def tests(machine: Machine, report: Report) -> None:
    """Run the projects' own tests."""
    rows = {}
    for name in machine.environments:
        done = machine.in_project(name, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-x")
        rows[name] = last_line(done.stdout)
        if done.returncode:
            report.fail(f"tests, {name}", last_line(done.stdout or done.stderr))
            report.output(f"pytest, {name}", done.stdout[-3000:])
    report.table("The projects' own tests", rows)


def findings(machine: Machine, name: str, **settings: str) -> dict[str, dict]:
    """Return the doctor's worst finding of each check. Raises ValueError if there are none."""
    if name in machine.findings and not settings:
        return machine.findings[name]
    done = machine.run(machine.python, doctor_program(machine, name), "--json", **settings)
    if not done.stdout:
        raise ValueError(f"the doctor of {name} gives no findings: {last_line(done.stderr)}")
    worst: dict[str, dict] = {}
    for finding in json.loads(done.stdout):
        if finding["status"] == "problem" or finding["check"] not in worst:
            worst[finding["check"]] = finding
    if not settings:
        machine.findings[name] = worst
    return worst


def doctor_program(machine: Machine, name: str) -> Path:
    """Return the path of the project's doctor, with environment.json beside it, as in the image."""
    return machine.project(name) / "docker/doctor"


def doctor_facts(machine: Machine, name: str) -> dict:
    """Return the facts in a project's docker/environment.json."""
    return json.loads((machine.project(name) / "docker/environment.json").read_text(encoding="utf-8"))


def read_smi(machine: Machine) -> dict[str, str]:
    """Return driver, CUDA and first GPU from nvidia-smi's XML, empty without nvidia-smi."""
    done = machine.run("nvidia-smi", "-q", "-x")
    if done.returncode:
        return {}
    root = ElementTree.fromstring(done.stdout)
    names = ("driver_version", "cuda_version", "gpu/product_name")
    found = {name.rpartition("/")[2]: root.findtext(name) for name in names}
    return {name: text.strip() for name, text in found.items() if text}


def version_tuple(version: str) -> tuple[int, ...]:
    """Return the numbers of a version: (580, 65, 6) for "580.65.06"."""
    return tuple(map(int, re.findall(r"\d+", version)))


def last_line(text: str) -> str:
    """Return the last line that is not empty."""
    return (text.strip().splitlines() or ["nothing was said"])[-1]


STEPS: dict[str, Callable[[Machine, Report], None]] = {
    step.__name__: step for step in (facts, parser, scripts, doctor, caches, broken, tests)
}
