"""One line's real packages for a GPU, installed and examined without one; all of it is removed again."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cookiecutter.main import cookiecutter

from capy_template.matrix import FRAMEWORKS, load
from compatibility.index import UV, CannotAsk, users_index

TEMPLATE = Path(__file__).resolve().parent.parent
FREE_GB = 12  # the packages, and what the index sent, unpacked once
ARCHITECTURE = re.compile(r"(sm|compute)_(\d+)(\d)([a-z]?)")


def examine(line: str, say: Callable[[str], None]) -> int:
    """Install the environment `full` of a line and print what its doctor says; 1 where something is wrong.

    Raises CannotAsk where it cannot be tried here.
    """
    refuse_here(line)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="capy-check-") as name:
        folder = Path(name)
        project = generate(line, folder)
        environment = install(line, project, folder, say)
        say("running the project's doctor")
        problems = [*doctor(project, environment), *architectures(line, environment, folder, say)]
    for problem in problems:
        say(f"{line}: {problem}")
    say(f"{line}: problems: {len(problems)}; {time.monotonic() - begin:.0f} s")
    return int(bool(problems))


def refuse_here(line: str) -> None:
    """Raise CannotAsk for a line that there is not, and where its packages do not fit."""
    lines = load()["lines"]
    if line not in lines:
        raise CannotAsk(f"there is no line {line}: {', '.join(lines)}")
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise CannotAsk("the packages for a GPU are for Linux on x86-64; this is another machine")
    place = tempfile.gettempdir()
    if shutil.disk_usage(place).free < FREE_GB * 10**9:
        raise CannotAsk(f"{FREE_GB} GB are needed in {place}; TMPDIR names another folder")


def generate(line: str, folder: Path, environment: str = "full") -> Path:
    """Make a project of the line, by default with everything in it; the hooks are for a person."""
    settings = folder / "settings.yaml"
    settings.write_text(f"replay_dir: {folder}/replay\ncookiecutters_dir: {folder}/templates\n")
    answers = {"environment": environment, "cuda": line}
    made = cookiecutter(
        str(TEMPLATE),
        no_input=True,
        extra_context=answers,
        output_dir=str(folder),
        config_file=str(settings),
        accept_hooks=False,
    )
    return Path(made)


def install(line: str, project: Path, folder: Path, say: Callable[[str], None]) -> Path:
    """Install the project's extra `nvidia` into an environment of its own, and return that.

    Not `uv sync`: that locks the extra `cpu`, too, and so needs PyTorch's own index.
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
    """Return the line's own Python, else one that is not older than its lowest. Raises CannotAsk."""
    for wanted in (fact(line, "python"), f">={fact(line, 'lowest_python')}"):
        command = [UV, "python", "find", "--quiet", "--no-python-downloads", "--system", wanted]
        found = subprocess.run(command, capture_output=True, text=True)
        if found.returncode == 0:
            return found.stdout.strip()
    raise CannotAsk(f"there is no Python {fact(line, 'lowest_python')} or newer on this machine")


def version_of(environment: Path) -> str:
    """Return the version of an environment's Python."""
    command = [environment / "bin/python", "-c", "import platform; print(platform.python_version())"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def doctor(project: Path, environment: Path) -> list[str]:
    """Print what the project's doctor says of the environment, and return the problems."""
    settings = {
        **os.environ,
        "ACCELERATOR": "nvidia",
        "LD_LIBRARY_PATH": ":".join(map(str, library_folders(environment))),  # the image has them by ldconfig
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
    """Return what is wrong with where the doctor found the libraries: all lie in the environment."""
    details = [text for item in findings if item["check"] == "libraries" for text in item["details"]]
    where = [re.fullmatch(r"(\w+): (\S+) => (.+)", text) for text in details]
    problems = []
    for framework in FRAMEWORKS:
        its = [match.groups()[1:] for match in where if match and match[1] == framework]
        outside = [path for _, path in its if not Path(path).resolve().is_relative_to(environment.resolve())]
        problems += [f"{framework} uses {path}, which is no package's" for path in outside]
        print(
            f"{framework}: CUDA libraries found among the packages: {len(its) - len(outside)} of {len(its)}"
        )
        if not its:
            problems.append(f"the doctor found no CUDA library of {framework}")
    return problems


def library_folders(environment: Path) -> list[Path]:
    """Return the folders of the CUDA libraries among an environment's packages."""
    return sorted(environment.glob("lib/python*/site-packages/nvidia/*/lib"))


def architectures(line: str, environment: Path, folder: Path, say: Callable[[str], None]) -> list[str]:
    """Print which GPU architectures each framework has code for, and return what differs from the matrix."""
    say("reading the architectures from the packages")
    problems = []
    for framework, read in {"onnxruntime": of_onnxruntime, "torch": of_torch}.items():
        try:
            found, said = set(read(environment, folder)), set(fact(line, f"{framework}_architectures"))
        except subprocess.CalledProcessError as error:
            reason = (error.stderr.strip().splitlines() or ["no reason given"])[-1]
            print(f"{framework}_architectures: NOT CHECKED, they cannot be read: {reason}")
            continue
        print(f"{framework} has code for {', '.join(sorted(found, key=in_order))}")
        if found != said:
            more, less = (sorted(names, key=in_order) for names in (found - said, said - found))
            wrong = [f"has also {', '.join(more)}"] * bool(more) + [f"lacks {', '.join(less)}"] * bool(less)
            problems.append(f"{framework}_architectures: the package {', and '.join(wrong)}")
    return problems


def of_onnxruntime(environment: Path, folder: Path) -> list[str]:
    """Ask NVIDIA's cuobjdump; what it lists names each piece of code by its architecture.

    Raises CalledProcessError where it cannot read the library: that of 1.23.2 is such a one.
    """
    uv(folder, "pip", "install", "--quiet", "--target", folder / "tool", "nvidia-cuda-cuobjdump")
    tool = next((folder / "tool").rglob("bin/cuobjdump"))
    code = next(environment.rglob("onnxruntime/capi/libonnxruntime_providers_cuda.so"))
    listed = [
        subprocess.run([tool, option, code], capture_output=True, text=True, check=True).stdout
        for option in ("--list-elf", "--list-ptx")
    ]
    return [*named(listed[0]), *(f"{name}+PTX" for name in named(listed[1]))]


def of_torch(environment: Path, folder: Path) -> list[str]:
    """Ask PyTorch what it was built with, which is told without a GPU, too."""
    command = [environment / "bin/python", "-c", "import torch; print(torch._C._cuda_getArchFlags())"]
    return named(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def named(text: str) -> list[str]:
    """Return the architectures in a text as the matrix has them: sm_90a is 9.0a, compute_120 12.0+PTX."""
    return [
        f"{major}.{minor}{suffix}{'+PTX' if kind == 'compute' else ''}"
        for kind, major, minor, suffix in ARCHITECTURE.findall(text)
    ]


def in_order(architecture: str) -> tuple[float, str]:
    """Sort 12.0 after 9.0a."""
    return float(re.match(r"[\d.]+", architecture)[0]), architecture


def fact(line: str, name: str) -> str | list[str]:
    """Return a fact of a line."""
    return load()["lines"][line][name]["value"]


def uv(folder: Path, *arguments: str | Path) -> None:
    """Run uv with its cache in `folder`. Raises CannotAsk; uv itself has said why."""
    settings = {**os.environ, "UV_CACHE_DIR": str(folder / "cache"), "UV_PYTHON_DOWNLOADS": "never"}
    if subprocess.run([UV, *arguments], env=settings, cwd=folder).returncode:
        raise CannotAsk(f"`uv {arguments[0]}` failed, see above")
