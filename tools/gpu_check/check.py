#!/usr/bin/env python3
"""Run generated projects on this machine's NVIDIA GPU, and compare the results with their doctor's report.

    python3 FOLDER/gpu_check/check.py [--pieces FOLDER] [--report FILE] [--only STEP …]

Needs a Python, with PyTorch for CUDA if FOLDER has none; no Docker, no network.
`make gpu-check-pack` makes FOLDER.
Exit code 1: the doctor's report is wrong, or a step failed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import environment
import steps
from environment import CannotCheck
from report import Report


def main() -> int:
    """Run the chosen steps, write the report and return the exit code."""
    here = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pieces", type=Path, default=here / "pieces", help="default: beside this folder")
    parser.add_argument("--work", type=Path, help="work folder (default: a temporary one)")
    parser.add_argument("--report", type=Path, default=Path("gpu-report.md"))
    parser.add_argument("--seconds", type=int, default=460, help="time limit for all steps (default: 460)")
    parser.add_argument("--only", nargs="+", choices=steps.STEPS, default=list(steps.STEPS))
    chosen = parser.parse_args()
    try:
        chosen.report.open("a").close()  # not after minutes of work
    except OSError as error:
        parser.error(f"--report {chosen.report}: {error.strerror}")

    begin = time.monotonic()
    report = Report()
    work = chosen.work / "gpu-check" if chosen.work else Path(tempfile.mkdtemp(prefix="gpu-check-"))
    try:
        machine = prepare(here, work, chosen.pieces, report)
        machine.deadline = begin + chosen.seconds
        for name in chosen.only:
            steps.run(name, machine, report)
            chosen.report.write_text(report.text(time.monotonic() - begin))  # kept if a later step is killed
    except (CannotCheck, OSError) as error:
        report.fail("preparation", str(error))
    except KeyboardInterrupt:
        report.fail("everything", "interrupted")
    finally:
        if not chosen.work:
            shutil.rmtree(work, ignore_errors=True)
    text = report.text(time.monotonic() - begin)
    print(text, flush=True)
    chosen.report.write_text(text)
    return int(report.is_bad())


def prepare(here: Path, work: Path, pieces: Path, report: Report) -> steps.Machine:
    """Make the environment and copies of the projects.

    The packages are the pieces' alone if PyTorch is among them. Else they are the machine's, and without the
    pieces there is no ONNX Runtime. Raises CannotCheck.
    """
    work.mkdir(parents=True, exist_ok=True)
    machine = steps.Machine(work)
    made = work / "environment"
    everything = environment.has_everything(pieces)
    if not made.exists():
        environment.make(made, linked=not everything)
    unpacked = work / "unpacked"
    if not unpacked.exists():
        try:
            environment.add(made, environment.put_together(pieces, work / "wheels"))
            unpacked.touch()
        except CannotCheck as error:
            if everything:
                raise
            report.note(f"without ONNX Runtime: {error}")
    shutil.rmtree(work / "projects", ignore_errors=True)  # else a training would continue from the last check
    shutil.copytree(here / "projects", work / "projects")
    return machine


if __name__ == "__main__":
    sys.exit(main())
