"""Build what is compared: the product and the guide's way, with the same packages and base image."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from benchmarks.measuring import output
from engines.base_image import Base, base_image
from engines.engine import Engine, find_or_start, running, stop
from engines.steps import EngineError, run, say

TEMPLATE = Path(__file__).resolve().parent.parent
BASE = "ubuntu:24.04"  # for both: NVIDIA's image would add the same gigabytes to each
PACKAGES = ("pandas", "scipy")  # with the template's own: 450 MB in all
OWNER = 1000  # owner of the projects if root measures: the first user of most machines
# Removed from the user's environment.
SETTINGS = ("BUILD_CACHE", "CACHE_DIR", "CHECKOUT", "GROUP_ID", "USER_ID")
PROJECT_LABEL = "com.docker.compose.project"  # Compose's label, also used here
GUIDE = Path(__file__).with_name("guide")
# what stands where the guide's project would be
SETUP = "from setuptools import setup\nsetup(name='aligner', version='1.0', py_modules=['aligner'])\n"


class Subjects:
    """Everything that a run makes, each part on first use.

    Every image, container, network and volume has the name of the run in a label.
    """

    def __init__(self, folder: Path, engine: Engine) -> None:
        """Take a temporary folder that the caller removes, and the engine."""
        self.folder, self.engine = folder, engine
        self.run = f"capy-bench-{os.getpid()}"
        self.label = f"{PROJECT_LABEL}={self.run}"
        self.kept_before = build_cache(engine)
        settings = {name: text for name, text in os.environ.items() if name not in SETTINGS}
        self.environment = settings | engine.env | {"ACCELERATOR": "cpu"}
        if bundle := os.environ.get("SSL_CERT_FILE"):
            self.environment.setdefault("CA_BUNDLE", bundle)
        configuration = folder / "cookiecutter.yaml"
        configuration.write_text(f"replay_dir: {folder}/replay\ncookiecutters_dir: {folder}/templates\n")
        self.environment["COOKIECUTTER_CONFIG"] = str(configuration)

    @cached_property
    def base(self) -> Base:
        """Return the base image of both, and set BASE_IMAGE."""
        found = base_image(os.environ.get("BASE_IMAGE", BASE), self.engine)
        if found.stand_in:
            say(f"STAND-IN: measuring on {found.name}, not on {BASE} ({found.why})")
        self.environment["BASE_IMAGE"] = found.name
        return found

    @cached_property
    def owner(self) -> tuple[int, int]:
        """Return the ids of the projects' owner."""
        return (os.getuid(), os.getgid()) if os.getuid() else (OWNER, OWNER)

    def own(self, folder: Path) -> None:
        """Make the owner own a folder."""
        if os.getuid() == 0:
            output(["chown", "-R", "{}:{}".format(*self.owner), str(folder)])

    @cached_property
    def project(self) -> Path:
        """Return the product: a generated project with PACKAGES, its image built."""
        _ = self.base
        command = [sys.executable, "-m", "cookiecutter", "--no-input", str(TEMPLATE), "project=capy-bench"]
        output([*command, "--output-dir", str(self.folder)], env=self.environment)
        project = self.folder / "capy-bench"
        for package in PACKAGES:
            add_package(project, package)
        # a build cache of the run's own, so that a cold build is cold
        (project / ".env").write_text(f"CHECKOUT=-{os.getpid()}\nBUILD_CACHE={self.run}\n")
        self.own(project)
        run("building the product's image", ["docker", "compose", "build"], cwd=project, env=self.environment)
        return project

    @property
    def image(self) -> str:
        """Return the name of the product's image, which is built."""
        _ = self.project
        return f"{self.run}:cpu"

    @cached_property
    def requirements(self) -> Path:
        """Return the packages in the product's image with their versions."""
        freeze = ["docker", "run", "--rm", "--entrypoint", "/opt/uv/bin/uv", self.image, "pip", "freeze"]
        lines = output([*freeze, "--exclude-editable"], env=self.environment).splitlines()
        path = self.folder / "requirements.txt"
        path.write_text("".join(f"{line}\n" for line in lines if "==" in line))
        return path

    @cached_property
    def guide(self) -> Path:
        """Return the folder with the guide's Dockerfiles, after building both images."""
        folder = Path(shutil.copytree(GUIDE, self.folder / "guide"))
        shutil.copy(self.requirements, folder)
        package = folder / "package"
        package.mkdir()
        (package / "setup.py").write_text(SETUP)
        (package / "aligner.py").write_text("value = 0\n")
        for command in self.guide_builds(folder):
            run("building the guide's images", command, cwd=folder, env=self.environment)
        return folder

    @property
    def guide_image(self) -> str:
        """Return the name of the guide's second image, which is built."""
        _ = self.guide
        return f"{self.run}:guide"

    @cached_property
    def cut_guide_image(self) -> str:
        """Return the name of the guide's second image, on a base with Python's packages only."""
        for command in self.guide_builds(self.guide, cut=True):
            run("building the guide's images, cut", command, cwd=self.guide, env=self.environment)
        return f"{self.run}:guide-cut"

    def guide_builds(self, folder: Path, *options: str, cut: bool = False) -> list[list[str]]:
        """Return the two build commands of the guide.

        `folder` has its Dockerfiles; `cut`: without the system packages that Python does not need.
        """
        base, name = f"{self.run}:inference", f"{self.run}:guide"
        first = [
            "docker",
            "build",
            *options,
            "--label",
            self.label,
            "--file",
            str(folder / "inference.Dockerfile"),
        ]
        first += ["--secret", f"id=ca,src={self.environment.get('CA_BUNDLE', '/dev/null')}"]
        first += ["--build-arg", f"BASE={self.environment['BASE_IMAGE']}"]
        if cut:
            base, name = f"{base}-cut", f"{name}-cut"
            first += ["--build-arg", "SYSTEM_PACKAGES=git gosu python3-pip"]
        if index := self.environment.get("PUBLIC_INDEX_URL"):
            first += ["--build-arg", f"PIP_INDEX_URL={index}"]
        second = ["docker", "build", *options, "--file", str(folder / "project.Dockerfile")]
        second += ["--build-arg", f"INFERENCE={base}", "--tag", name]
        return [[*first, "--tag", base, str(folder)], [*second, str(folder)]]

    @cached_property
    def host_python(self) -> Path:
        """Return the Python of an environment on this host with the same packages."""
        for command in self.host_install(self.folder / "host"):
            run("installing the packages on the host", command, env=self.environment)
        return self.folder / "host/bin/python"

    def host_install(self, folder: Path) -> list[list[str]]:
        """Return the commands that install the packages into `folder`, on this host, with no cache."""
        python = output(
            ["docker", "run", "--rm", self.image, "-c", "import platform; print(platform.python_version())"],
            env=self.environment,
        )
        wanted = ".".join(python.split(".")[:2])
        uv = [sys.executable, "-m", "uv"]
        install = [*uv, "pip", "install", "--quiet", "--no-cache", "--compile-bytecode"]
        where = ["--python", str(folder / "bin/python")]
        return [
            [*uv, "venv", "--quiet", "--clear", "--python", wanted, str(folder)],
            [*install, *where, "--requirement", str(self.requirements)],
        ]

    def docker_run(self, image: str, *words: str, options: tuple[str, ...] = ()) -> list[str]:
        """Return a plain `docker run` for the product's project."""
        mount = ["--volume", f"{self.project}:/code", "--workdir", "/code"]
        return ["docker", "run", "--rm", "--label", self.label, *mount, *options, image, *words]

    def product_run(self, *words: str) -> list[str]:
        """Return the product's `docker run`, without Compose."""
        return self.docker_run(self.image, *words)

    def floor_run(self, *words: str) -> list[str]:
        """Return a `docker run` of the same image without its entrypoint."""
        return self.docker_run(self.image, *words, options=("--entrypoint", "/opt/venv/bin/python"))

    def guide_run(self, *words: str) -> list[str]:
        """Return the guide's `docker run`, with its two ids."""
        uid, gid = self.owner
        return self.docker_run(
            self.guide_image, *words, options=("--env", f"USER_ID={uid}", "--env", f"GROUP_ID={gid}")
        )

    def machine(self) -> dict[str, str | int]:
        """Return the facts of the machine that the figures depend on."""
        engine = json.loads(self.engine.docker("info", "--format", "{{json .}}"))
        return {
            "engine": f"Docker Engine {engine['ServerVersion']}, {engine['Driver']}",
            "kernel": engine["KernelVersion"],
            "processors": engine["NCPU"],
            "memory": f"{engine['MemTotal'] / 2**30:.0f} GiB",
            "python": platform.python_version(),
            "base": f"a stand-in for {BASE}: a plain Debian" if self.base.stand_in else self.base.name,
        }

    def clean(self) -> None:
        """Remove everything with the run's label from the engine."""
        docker = self.engine.docker
        for label in (self.label, f"{PROJECT_LABEL}=capy-bench-devcontainer-cpu-{os.getpid()}"):
            ours = ("--quiet", "--filter", f"label={label}")
            remove(self.engine, "container", docker("ps", "--all", *ours))
            for kind in ("volume", "network"):
                remove(self.engine, kind, docker(kind, "ls", *ours))
            remove(self.engine, "image", docker("images", *ours))
        # includes parallel builds of others, who would have to build again
        if built := build_cache(self.engine) - self.kept_before:
            docker("buildx", "prune", "--force", "--filter", f"id~=^({'|'.join(built)})$")


def add_package(project: Path, package: str) -> None:
    """Add a package to what a generated project installs."""
    path = project / "pyproject.toml"
    path.write_text(path.read_text().replace("dependencies = [\n", f'dependencies = [\n  "{package}",\n', 1))


def build_cache(engine: Engine) -> set[str]:
    """Return the ids of all records of the build cache."""
    return set(engine.docker("buildx", "du", "--format", "{{.ID}}").split())


def remove(engine: Engine, kind: str, names: str) -> None:
    """Remove things of one kind from the engine."""
    if names.split():
        force = [] if kind == "network" else ["--force"]
        engine.docker(kind, "rm", *force, *set(names.split()))


@contextmanager
def subjects(folder: Path) -> Iterator[Subjects]:
    """Yield the subjects of a run; always remove them from the engine at the end."""
    was_up = running() is not None
    engine = find_or_start()
    made = Subjects(folder, engine)
    try:
        yield made
    finally:
        say("removing what the bench made")
        try:
            made.clean()
        except EngineError as error:
            say(f"not removed: images that start with {made.run} in `docker images`: {error}")
        if engine.private and not was_up:
            stop()
