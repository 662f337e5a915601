"""Measure a start, from `docker run` to the script: its time, its writes, and many at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from benchmarks.measuring import Rounds, first_line, output
from benchmarks.results import FLOOR, GUIDE, PRODUCT, Goal, Row
from benchmarks.subjects import Subjects

FILES = (100, 10_000, 100_000)  # small files in the project
AT_ONCE = (1, 5, 20)
HERE = ("-c", "print('here')")
IMPORTS = "import onnxruntime, cv2, numpy"
TIMED_IMPORTS = f"import time; begin = time.perf_counter(); {IMPORTS}; print(time.perf_counter() - begin)"
KIB = 1024
OTHER_IDS = ("--env", "USER_ID=1234", "--env", "GROUP_ID=1234")  # than those that `app` has in the image
LEAST = ("-c", 'exec gosu 1000:1000 /opt/venv/bin/python "$@"', "sh")
START, START_OF_GUIDE = "start, {:,} files", "start, {:,} files, beside the guide"
SHORT = 6  # times as many rounds, since starts differ by a few milliseconds


def start(subjects: Subjects, rounds: Rounds) -> Iterator[Row]:
    """Measure the time to the script's first line, for several numbers of files in the project."""
    short = replace(rounds, count=SHORT * rounds.count)
    where = {"cwd": subjects.project, "env": subjects.environment}
    product, floor = subjects.product_run(*HERE), subjects.floor_run(*HERE)
    guide = subjects.guide_run(*HERE)
    for files in FILES:
        fill(subjects, files)
        name = START.format(files)
        values = short.in_turn(name, ways({PRODUCT: product, FLOOR: floor}, where))
        yield Row(name, "s", values, (Goal(1.05, FLOOR),))
        # separately: its writes of half a gigabyte would disturb the others
        name = START_OF_GUIDE.format(files)
        values = rounds.in_turn(name, ways({PRODUCT: product, GUIDE: guide}, where))
        yield Row(name, "s", values, (Goal(0.1, GUIDE),))

    # What an entrypoint costs that only steps down to the owner: less is no non-root user.
    least = subjects.docker_run(subjects.image, *LEAST, *HERE, options=("--entrypoint", "sh"))
    name = "start; floor: an entrypoint that is `exec gosu`"
    values = short.in_turn(name, ways({PRODUCT: product, FLOOR: least}, where))
    yield Row(name, "s", values, (Goal(1.05, FLOOR),))

    other = subjects.docker_run(subjects.image, *HERE, options=OTHER_IDS)
    name = "start as another uid"
    values = short.in_turn(name, ways({PRODUCT: other, FLOOR: floor}, where))
    yield Row(name, "s", values, (Goal(1.05, FLOOR),))

    compose = ["docker", "compose", "run", "--rm"]
    commands = {
        PRODUCT: [*compose, "app", *HERE],
        FLOOR: [*compose, "--entrypoint", "/opt/venv/bin/python", "app", *HERE],
    }
    # without a CA_BUNDLE, which the floor does not read
    where["env"] = {name: text for name, text in subjects.environment.items() if name != "CA_BUNDLE"}
    name = "start by Compose"
    yield Row(name, "s", short.in_turn(name, ways(commands, where)), (Goal(1.05, FLOOR),))
    output(["rm", "-r", str(subjects.project / "data")])


def ways(commands: dict[str, list[str]], where: dict) -> dict[str, partial]:
    """Return the ways to measure: each command until its first line."""
    return {name: partial(first_line, command, **where) for name, command in commands.items()}


def fill(subjects: Subjects, files: int) -> None:
    """Create this many small files in the project, a thousand in each folder, with its owner."""
    for number in range(files):
        folder = subjects.project / f"data/{number // 1000:03}"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{number % 1000:03}.txt"
        if not path.exists():
            path.write_text("x")
    subjects.own(subjects.project)


def first_import(subjects: Subjects, rounds: Rounds) -> Iterator[Row]:
    """Measure the time until the packages are imported, and the imports alone."""
    where = {"cwd": subjects.project, "env": subjects.environment}
    words = ("-c", f"{IMPORTS}; print('here')")
    commands = {
        PRODUCT: subjects.product_run(*words),
        FLOOR: [str(subjects.host_python), *words],
        GUIDE: subjects.guide_run(*words),
    }
    name = "start and first useful import"
    yield Row(name, "s", rounds.in_turn(name, ways(commands, where)), (Goal(1, GUIDE),))

    words = ("-c", TIMED_IMPORTS)
    commands = {
        PRODUCT: subjects.product_run(*words),
        FLOOR: [str(subjects.host_python), *words],
        GUIDE: subjects.guide_run(*words),
    }
    name = "the imports alone"
    printed = {way: partial(printed_number, command, where) for way, command in commands.items()}
    yield Row(name, "s", rounds.in_turn(name, printed))


def printed_number(command: list[str], where: dict) -> float:
    """Return the last number in a command's output."""
    return float(output(command, **where).splitlines()[-1])


def writes(subjects: Subjects, rounds: Rounds) -> Iterator[Row]:
    """Measure the writes of a start: the size of the container's layer."""
    commands = {
        PRODUCT: subjects.product_run(*HERE),
        FLOOR: subjects.floor_run(*HERE),
        GUIDE: subjects.guide_run(*HERE),
    }
    name = "disk writes of one start"
    sizes = {way: partial(written, command, subjects) for way, command in commands.items()}
    values = rounds.in_turn(name, sizes, warm_up=0)
    yield Row(name, "KiB", values, (Goal(64),))


def written(command: list[str], subjects: Subjects) -> float:
    """Run a container and return the KiB of its layer."""
    where = {"cwd": subjects.project, "env": subjects.environment}
    name = f"{subjects.run}-writes"
    kept = [word for word in command if word != "--rm"]
    output([*kept[:2], "--name", name, *kept[2:]], **where)
    form = ["--size", "--format", "{{.SizeRw}}"]
    size = output(["docker", "container", "inspect", *form, name], **where)
    output(["docker", "container", "rm", name], **where)
    return int(size) / KIB


def load(subjects: Subjects, rounds: Rounds) -> Iterator[Row]:
    """Measure runs per minute when one, some and many start at the same time."""
    for at_once in AT_ONCE:
        commands = {
            PRODUCT: subjects.product_run(*HERE),
            FLOOR: subjects.floor_run(*HERE),
            GUIDE: subjects.guide_run(*HERE),
        }
        name = f"{at_once} at once"
        rates = {way: partial(rate, command, at_once, subjects) for way, command in commands.items()}
        yield Row(name, "runs/min", rounds.in_turn(name, rates), (Goal(0.95, FLOOR, at_least=True),))


def rate(command: list[str], at_once: int, subjects: Subjects) -> float:
    """Start a command several times at once; return the runs per minute."""
    where = {"cwd": subjects.project, "env": subjects.environment}
    begin = time.perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(lambda _: output(command, **where), range(at_once)))
    return at_once * 60 / (time.perf_counter() - begin)
