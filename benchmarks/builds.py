"""Measure the first result, rebuilds after a change, and the size of the image."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.generation import cookiecutter, generate
from benchmarks.layers import layers_of, new_layers
from benchmarks.measuring import Rounds, output, seconds
from benchmarks.results import FLOOR, GUIDE, PRODUCT, Goal, Row
from benchmarks.subjects import TEMPLATE, Subjects
from engines.steps import EngineError

BUILD = ["docker", "compose", "build"]
RUN = ["docker", "compose", "run", "--rm", "app"]
# Small packages that nothing else needs, one for each round.
MORE_PACKAGES = (
    *("rich", "tqdm", "humanize", "tabulate", "termcolor", "colorama", "sortedcontainers", "more-itertools"),
    *("toolz", "wrapt", "docopt", "xxhash", "blinker", "mistune", "cachetools", "dill", "ujson"),
)
MB = 1_000_000
CUT = "the guide's cut to what Python needs"


def cold(subjects: Subjects, rounds: Rounds) -> Iterator[Row]:
    """Measure a build without any cache, and the time to the first result."""
    numbers = itertools.count()
    results: dict[str, list[float]] = {PRODUCT: [], GUIDE: []}

    def product() -> float:
        made = generate(cookiecutter(TEMPLATE), subjects)
        environment = subjects.environment | {"BUILD_CACHE": f"{subjects.run}-cold-{next(numbers)}"}
        built = seconds([*BUILD, "--no-cache"], cwd=subjects.project, env=environment)
        ran = seconds([*RUN, "script.py"], cwd=subjects.project, env=environment)
        results[PRODUCT].append(made + built + ran)
        return built

    def guide(cut: bool = False) -> float:
        builds = subjects.guide_builds(subjects.guide, "--no-cache", cut=cut)
        built = sum(seconds(command, cwd=subjects.guide, env=subjects.environment) for command in builds)
        if not cut:
            results[GUIDE].append(built + seconds(guide_script(subjects), env=subjects.environment))
        return built

    def floor() -> float:
        installs = subjects.host_install(subjects.folder / "cold")
        return sum(seconds(command, env=subjects.environment) for command in installs)

    _ = subjects.cut_guide_image, subjects.host_python
    ways = {PRODUCT: product, FLOOR: floor, GUIDE: guide, CUT: partial(guide, cut=True)}
    values = rounds.in_turn("cold build", ways, warm_up=0)
    cut = {PRODUCT: values[PRODUCT], GUIDE: values.pop(CUT)}
    yield Row("cold build", "s", values, (Goal(0.6, GUIDE),))
    yield Row(f"cold build, {CUT}", "s", cut)
    yield Row("from nothing to the first result", "s", results, (Goal(0.6, GUIDE),))


def rebuild(subjects: Subjects, rounds: Rounds) -> Iterator[Row]:
    """Measure rebuilds after a change of the code, the packages and the base image."""
    yield after_an_edit(subjects, rounds)
    yield from after_a_package(subjects, rounds)
    yield after_a_new_base(subjects, rounds)


def after_an_edit(subjects: Subjects, rounds: Rounds) -> Row:
    """Measure a change of a source line. The product needs no build for it: that is checked first."""
    numbers = itertools.count(1)
    where = {"cwd": subjects.project, "env": subjects.environment}

    def edit(path: Path) -> None:
        path.write_text(f"value = {next(numbers)}\n")

    source = subjects.project / "src/capy_bench/edited.py"
    edit(source)
    subjects.own(source)
    printed = output(subjects.product_run("-c", "import capy_bench.edited as it; print(it.value)"), **where)
    value = printed.splitlines()[-1]  # the first run says that it wrote uv.lock
    if f"value = {value}\n" != source.read_text():
        raise EngineError(f"an edit needs a build: the container still has {value}")

    def product() -> float:
        edit(source)
        return seconds(BUILD, **where)

    def guide() -> float:
        edit(subjects.guide / "package/aligner.py")
        return sum(seconds(command, **where) for command in subjects.guide_builds(subjects.guide))

    # The code in a layer of its own and one more step: no build that has the code in the image does less.
    least = least_build(subjects)

    def floor() -> float:
        edit(source)
        return seconds(least, **where)

    ways = {PRODUCT: product, FLOOR: floor, GUIDE: guide}
    values = rounds.in_turn("build after a source edit", ways)
    return Row("build after a source edit", "s", values, (Goal(1.2, FLOOR),))


def after_a_package(subjects: Subjects, rounds: Rounds) -> Iterator[Row]:
    """Measure an added package: the time to the next result, downloads, and bytes rewritten."""
    where = {"cwd": subjects.project, "env": subjects.environment}
    downloads: dict[str, list[float]] = {PRODUCT: [], GUIDE: []}
    added = {PRODUCT: iter(MORE_PACKAGES), GUIDE: iter(MORE_PACKAGES)}
    output([*RUN, "uv", "lock"], **where)  # as a project has after its first run
    output(BUILD, **where)
    images = {PRODUCT: subjects.image, GUIDE: subjects.guide_image}
    before = {way: layers_of(subjects.engine, image) for way, image in images.items()}
    layers = {}

    def product() -> float:
        begin = time.perf_counter()
        output([*RUN, "uv", "add", next(added[PRODUCT])], **where)
        printed = output([*BUILD, "--progress", "plain"], **where)
        output([*RUN, "script.py"], **where)
        taken = time.perf_counter() - begin
        downloads[PRODUCT].append(downloaded(printed))
        rewritten(PRODUCT)
        return taken

    def rewritten(way: str) -> None:
        if way not in layers:
            layers[way] = new_layers(subjects.engine, images[way], before[way], subjects.folder)

    def guide() -> float:
        with (subjects.guide / "requirements.txt").open("a") as lines:
            lines.write(f"{next(added[GUIDE])}\n")
        begin = time.perf_counter()
        printed = ""
        for command in subjects.guide_builds(subjects.guide, "--progress", "plain"):
            printed += output(command, **where)
        output(guide_script(subjects), **where)
        taken = time.perf_counter() - begin
        rewritten(GUIDE)
        downloads[GUIDE].append(len(set(re.findall(r"Downloading (\S+\.(?:whl|tar\.gz))", printed))))
        return taken

    name = "from `uv add` to the next result"
    yield Row(name, "s", rounds.in_turn(name, {PRODUCT: product, GUIDE: guide}, warm_up=0))
    yield Row("packages downloaded for it", "", downloads, (Goal(1),))
    unpacked = {way: [found.unpacked] for way, found in layers.items()}
    yield Row("layers that it rewrites", "MB", unpacked, (Goal(500),))
    yield Row("of these a push sends, compressed", "MB", {way: [layers[way].pushed] for way in layers})


def guide_script(subjects: Subjects) -> list[str]:
    """Return the guide's line for the project's script."""
    command = subjects.guide_run("script.py", "--output", "outputs/guide.png")
    return [*command[:3], "--env", "PYTHONPATH=/code/src", *command[3:]]


def least_build(subjects: Subjects) -> list[str]:
    """Return a build by Compose that copies the project into its image and then does nothing more."""
    folder = subjects.folder / "least"
    folder.mkdir()
    recipe = f"FROM {subjects.image}\nCOPY --chown=app:root . /code\nRUN true\n"
    (folder / "Dockerfile").write_text(recipe)
    build = {"context": str(subjects.project), "dockerfile": str(folder / "Dockerfile")}
    service = {"image": f"{subjects.run}:least", "build": build}
    # the name becomes the label by which it is removed
    (folder / "compose.yaml").write_text(json.dumps({"name": subjects.run, "services": {"app": service}}))
    return ["docker", "compose", "--file", str(folder / "compose.yaml"), "build"]


def downloaded(log: str) -> int:
    """Return how many packages uv downloaded in a build, from its plain log.

    In the step of the packages only: a later one prepares the project itself, without a download.
    """
    steps = set(re.findall(r"^(#\d+) \[runtime .*sync-environment --packages", log, re.MULTILINE))
    found = re.findall(r"^(#\d+) .*Prepared (\d+) package", log, re.MULTILINE)
    return sum(int(number) for step, number in found if step in steps)


def after_a_new_base(subjects: Subjects, rounds: Rounds) -> Row:
    """Measure a newer base image, as after a security update: all steps run again."""
    numbers = itertools.count()
    first = subjects.base.name
    name = f"{subjects.run}:base"

    def new_base() -> None:
        recipe = f"FROM {first}\nRUN echo {next(numbers)} > /etc/newer\n"
        build = ["docker", "build", "--label", subjects.label, "--tag", name, "-"]
        output(build, env=subjects.environment, input=recipe)

    def where() -> dict:
        return {"cwd": subjects.project, "env": subjects.environment}

    def product() -> float:
        new_base()
        return seconds(BUILD, **where())

    def guide() -> float:
        new_base()
        return sum(seconds(command, **where()) for command in subjects.guide_builds(subjects.guide))

    subjects.environment["BASE_IMAGE"] = name
    try:
        values = rounds.in_turn("build after a base update", {PRODUCT: product, GUIDE: guide}, warm_up=0)
    finally:
        subjects.environment["BASE_IMAGE"] = first
    return Row("build after a base update", "s", values)


def size(subjects: Subjects, rounds: Rounds) -> Iterator[Row]:
    """Measure the sizes of the images; the floor is the base with the unpacked wheels."""
    packages = next((subjects.host_python.parent.parent / "lib").glob("python3*"))
    unpacked = sum(path.stat().st_size for path in packages.rglob("*") if path.is_file())
    values = {
        PRODUCT: [weight(subjects, subjects.image)],
        FLOOR: [weight(subjects, subjects.base.name) + unpacked / MB],
        GUIDE: [weight(subjects, subjects.guide_image)],
    }
    yield Row("image", "MB", values, (Goal(0.85, GUIDE),))
    cut = {PRODUCT: values[PRODUCT], GUIDE: [weight(subjects, subjects.cut_guide_image)]}
    yield Row(f"image, {CUT}", "MB", cut)


def weight(subjects: Subjects, image: str) -> float:
    """Return the size of an image in MB, as in `docker images`."""
    return int(subjects.engine.docker("image", "inspect", "--format", "{{.Size}}", image)) / MB
