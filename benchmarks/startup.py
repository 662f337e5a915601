"""What the entrypoint costs at a start, in a project of 100,000 files.

    python -m benchmarks.startup [ROUNDS]

`docker compose run` with the image's own entrypoint against `--entrypoint python`, in turn, so that
a machine that gets slower meanwhile slows both. The ratio of the medians should be 1.10 at most.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cookiecutter.main import cookiecutter

from tools.base_image import base_image
from tools.engine import find_or_start, guarded

TEMPLATE = Path(__file__).resolve().parent.parent
FILES = 100_000
OWNER = 1234  # not root: the entrypoint has ids to map
GOAL = 1.10
RUN = ["docker", "compose", "run", "--rm"]
WAYS = {
    "entrypoint": [*RUN, "app", "-c", "pass"],
    "--entrypoint python": [*RUN, "--entrypoint", "python", "app", "-c", "pass"],
}


def main() -> int:
    """Measure and print; 1 when the goal is missed."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    engine = find_or_start()
    base = base_image("ubuntu:22.04", engine)
    print(f"engine: {engine.description}\nbase:   {base.name}{' (STAND-IN)' if base.stand_in else ''}")
    environment = {**os.environ, **engine.env, "ACCELERATOR": "cpu", "BASE_IMAGE": base.name}
    if bundle := os.environ.get("SSL_CERT_FILE"):
        environment.setdefault("CA_BUNDLE", bundle)
    with tempfile.TemporaryDirectory() as folder:
        project = Path(
            cookiecutter(
                str(TEMPLATE),
                no_input=True,
                default_config=True,
                extra_context={"project": "capy-bench"},
                output_dir=folder,
            )
        )
        subprocess.run(["docker", "compose", "build"], cwd=project, env=environment, check=True)
        fill(project)
        seconds = measure(project, environment, rounds)
        subprocess.run(
            ["docker", "compose", "down", "--rmi", "local"], cwd=project, env=environment, check=True
        )
    return show(seconds)


def fill(project: Path) -> None:
    """Put FILES small files into the project and give all of it to OWNER, where this user may."""
    for number in range(FILES):
        folder = project / "data" / f"{number // 1000:03}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number % 1000:03}.txt").write_text("x")
    if os.getuid() == 0:
        subprocess.run(["chown", "-R", f"{OWNER}:{OWNER}", str(project)], check=True)


def measure(project: Path, environment: dict[str, str], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each way, round by round; the first round warms up and does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    for number in range(rounds + 1):
        for name, command in WAYS.items():
            begin = time.perf_counter()
            subprocess.run(command, cwd=project, env=environment, check=True, capture_output=True)
            if number:
                seconds[name].append(time.perf_counter() - begin)
        print(f"\rround {number} of {rounds}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return seconds


def show(seconds: dict[str, list[float]]) -> int:
    """Print the medians, their spread and their ratio; return 1 when the goal is missed."""
    for name, runs in seconds.items():
        low, *_, high = statistics.quantiles(runs, n=4)
        print(f"{name:20} median {statistics.median(runs):.3f} s   quartiles {low:.3f} to {high:.3f} s")
    ours, bare = (statistics.median(runs) for runs in seconds.values())
    verdict = "met" if ours / bare <= GOAL else "MISSED"
    print(f"ratio of medians: {ours / bare:.3f}   (goal {GOAL:.2f}: {verdict})")
    return 0 if verdict == "met" else 1


if __name__ == "__main__":
    sys.exit(guarded(main))
