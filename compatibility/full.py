"""Install and examine one line's real GPU packages, on a machine without a GPU; remove them again."""

from __future__ import annotations

import json
import mmap
import os
import platform
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from capy_template.matrix import FRAMEWORKS, load
from compatibility.index import UV, CannotCheck, users_index
from tools.generate import generate

FREE_GB = 12  # downloads and installed packages
LEFT_OUT = b".alt.so"  # libnvrtc.alt.so.13
ARCHITECTURE = re.compile(r"(sm|compute)_(\d+)(\d)([a-z]?)")


def examine(line: str, say: Callable[[str], None]) -> int:
    """Install the environment `full` of a line, print its doctor's report, and return 1 for problems.

    Raises CannotCheck if it cannot be installed here.
    """
    refuse_here(line)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="capy-check-") as name:
        folder = Path(name)
        project = generate(folder, environment="full", cuda=line)
        environment = install(line, project, folder, say)
        say("running the project's doctor")
        problems = doctor(project, environment)
        problems += architectures(line, environment, folder, say) + users_of_what_is_left_out(environment)
    for problem in problems:
        say(f"{line}: {problem}")
    say(f"{line}: problems: {len(problems)}; {time.monotonic() - begin:.0f} s")
    return int(bool(problems))


def refuse_here(line: str) -> None:
    """Raise CannotCheck for an unknown line, or too little disk space."""
    lines = load()["lines"]
    if line not in lines:
        raise CannotCheck(f"there is no line {line}: {', '.join(lines)}")
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise CannotCheck("the packages for a GPU are for Linux on x86-64; this is another machine")
    place = tempfile.gettempdir()
    if shutil.disk_usage(place).free < FREE_GB * 10**9:
        raise CannotCheck(f"{FREE_GB} GB are needed in {place}; TMPDIR names another folder")


def install(line: str, project: Path, folder: Path, say: Callable[[str], None]) -> Path:
    """Install the project's extra `nvidia` into a new environment and return it.

    Not with `uv sync`, which locks the extra `cpu`, too, and so needs PyTorch's own index.
    """
    environment, index = folder / "environment", users_index().url
    python = find_python(line)
    uv(folder, "venv", "--quiet", "--python", python, environment)
    own = fact(line, "python")
    say(f"installing with Python {version_of(environment)}; the line's is {own}; some GB are coming")
    uv(
        folder,
        *("pip", "install", "--python", environment, "--default-index", index, "--only-binary", ":all:"),
        *("--requirements", project / "pyproject.toml", "--extra", "nvidia"),
    )
    return environment


def find_python(line: str) -> str:
    """Return the line's Python, else one not older than its lowest. Raises CannotCheck."""
    for wanted in (fact(line, "python"), f">={fact(line, 'lowest_python')}"):
        command = [UV, "python", "find", "--quiet", "--no-python-downloads", "--system", wanted]
        found = subprocess.run(command, capture_output=True, text=True)
        if found.returncode == 0:
            return found.stdout.strip()
    raise CannotCheck(f"there is no Python {fact(line, 'lowest_python')} or newer on this machine")


def version_of(environment: Path) -> str:
    """Return the version of an environment's Python."""
    command = [environment / "bin/python", "-c", "import platform; print(platform.python_version())"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def doctor(project: Path, environment: Path) -> list[str]:
    """Print the doctor's report on the environment and return the problems."""
    settings = {
        **os.environ,
        "ACCELERATOR": "nvidia",
        "LD_LIBRARY_PATH": ":".join(map(str, library_folders(environment))),  # ldconfig in the image
        "PATH": f"{environment / 'bin'}:{os.environ['PATH']}",
        "UV_PROJECT_ENVIRONMENT": str(environment),
    }
    command = [environment / "bin/python", project / "docker/doctor", "--build"]
    agrees = subprocess.run(command, env=settings).returncode == 0
    answer = subprocess.run([*command, "--json"], env=settings, capture_output=True, text=True)
    try:
        findings = json.loads(answer.stdout)
    except ValueError:
        return [f"the doctor itself failed: {(answer.stderr.strip().splitlines() or ['no output'])[-1]}"]
    problems = [f"{item['check']}: {item['found']}" for item in findings if item["status"] == "problem"]
    if not agrees and not problems:
        problems.append("the doctor failed without a finding")
    return problems + strays(findings, environment)


def strays(findings: list[dict], environment: Path) -> list[str]:
    """Return the libraries that the doctor found outside of the environment, as problems."""
    details = [text for item in findings if item["check"] == "libraries" for text in item["details"]]
    where = [re.fullmatch(r"(\w+): (\S+) => (.+)", text) for text in details]
    problems = []
    for framework in FRAMEWORKS:
        paths = [match.groups()[1:] for match in where if match and match[1] == framework]
        outside = [
            path for _, path in paths if not Path(path).resolve().is_relative_to(environment.resolve())
        ]
        problems += [f"{framework} uses {path}, which is no package's" for path in outside]
        print(f"{framework}: CUDA libraries in packages: {len(paths) - len(outside)} of {len(paths)}")
        if not paths:
            problems.append(f"the doctor found no CUDA library of {framework}")
    return problems


def library_folders(environment: Path) -> list[Path]:
    """Return the folders of the CUDA libraries among an environment's packages."""
    return sorted(environment.glob("lib/python*/site-packages/nvidia/*/lib"))


def architectures(line: str, environment: Path, folder: Path, say: Callable[[str], None]) -> list[str]:
    """Print the GPU architectures of each framework and return the differences from the matrix."""
    say("reading the architectures from the packages")
    problems = []
    for framework, read in {"onnxruntime": onnxruntime_architectures, "torch": torch_architectures}.items():
        try:
            found = set(read(environment, folder))
        except subprocess.CalledProcessError as error:
            reason = (error.stderr.strip().splitlines() or ["no reason given"])[-1]
            print(f"{framework}_architectures: NOT CHECKED, they cannot be read: {reason}")
            continue
        print(f"{framework} has code for {', '.join(sorted(found, key=in_order))}")
        expected = set(fact(line, f"{framework}_architectures")[platform.machine()])
        if found != expected:
            more, less = (sorted(names, key=in_order) for names in (found - expected, expected - found))
            wrong = [f"has also {', '.join(more)}"] * bool(more) + [f"lacks {', '.join(less)}"] * bool(less)
            problems.append(f"{framework}_architectures: the package {', and '.join(wrong)}")
    return problems


def users_of_what_is_left_out(environment: Path) -> list[str]:
    """Return the libraries that name a library which docker/sync.sh removes from the image, as problems.

    Such a name is in a library's own strings, since the runtime compiler is opened by dlopen.
    """
    problems = []
    for path in sorted(environment.rglob("*.so*")):
        if path.is_symlink() or LEFT_OUT in path.name.encode() or not path.stat().st_size:
            continue
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data.find(LEFT_OUT) >= 0:
                problems.append(
                    f"{path.relative_to(environment)} names *{LEFT_OUT.decode()}, which the image lacks"
                )
    return problems


def onnxruntime_architectures(environment: Path, folder: Path) -> list[str]:
    """Return the architectures that NVIDIA's cuobjdump lists.

    Raises CalledProcessError if it cannot read the library, such as that of 1.23.2.
    """
    uv(folder, "pip", "install", "--quiet", "--target", folder / "tool", "nvidia-cuda-cuobjdump")
    tool = next((folder / "tool").rglob("bin/cuobjdump"))
    code = next(environment.rglob("onnxruntime/capi/libonnxruntime_providers_cuda.so"))
    listed = [
        subprocess.run([tool, option, code], capture_output=True, text=True, check=True).stdout
        for option in ("--list-elf", "--list-ptx")
    ]
    return [*architectures_in(listed[0]), *(f"{name}+PTX" for name in architectures_in(listed[1]))]


def torch_architectures(environment: Path, folder: Path) -> list[str]:
    """Return the architectures that PyTorch lists, without a GPU."""
    command = [environment / "bin/python", "-c", "import torch; print(torch._C._cuda_getArchFlags())"]
    return architectures_in(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def architectures_in(text: str) -> list[str]:
    """Return the architectures in a text, as in the matrix: sm_90a is 9.0a, compute_120 is 12.0+PTX."""
    return [
        f"{major}.{minor}{suffix}{'+PTX' if kind == 'compute' else ''}"
        for kind, major, minor, suffix in ARCHITECTURE.findall(text)
    ]


def in_order(architecture: str) -> tuple[float, str]:
    """Return a sort key that puts 12.0 after 9.0a."""
    return float(re.match(r"[\d.]+", architecture)[0]), architecture


def fact(line: str, name: str) -> str | dict[str, list[str]]:
    """Return a fact of a line; that of a package for a GPU has a value for each processor."""
    return load()["lines"][line][name]["value"]


def uv(folder: Path, *arguments: str | Path) -> None:
    """Run uv with its cache in `folder`. Raises CannotCheck; uv has printed the reason."""
    settings = {**os.environ, "UV_CACHE_DIR": str(folder / "cache"), "UV_PYTHON_DOWNLOADS": "never"}
    if subprocess.run([UV, *arguments], env=settings, cwd=folder).returncode:
        raise CannotCheck(f"`uv {arguments[0]}` failed, see above")
