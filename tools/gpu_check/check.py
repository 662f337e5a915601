#!/usr/bin/env python3
"""Runs generated projects on this machine's NVIDIA GPU, and asks whether their doctor says what the GPU does.

    python3 FOLDER/gpu_check/check.py [--pieces FOLDER] [--report FILE] [--only STEP …]

It needs a Python with PyTorch for CUDA; neither Docker nor a network. `make gpu-check-pack` made FOLDER.
Exit code 1: the doctor and the GPU disagree, or a step failed.
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
    """Run the steps that were asked for; write the report; return the exit code."""
    here = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pieces", type=Path, default=here / "pieces", help="default: beside this folder")
    parser.add_argument("--work", type=Path, help="default: a temporary folder, which is removed")
    parser.add_argument("--report", type=Path, default=Path("gpu-report.md"))
    parser.add_argument("--seconds", type=int, default=460, help="for all of it; default: 460")
    parser.add_argument("--only", nargs="+", choices=steps.STEPS, default=list(steps.STEPS))
    chosen = parser.parse_args()

    begin = time.monotonic()
    report = Report()
    work = chosen.work or Path(tempfile.mkdtemp(prefix="gpu-check-"))
    try:
        machine = prepare(here, work, chosen.pieces, report)
        machine.deadline = begin + chosen.seconds
        for name in chosen.only:
            steps.run(name, machine, report)
            chosen.report.write_text(report.text(time.monotonic() - begin))  # whoever is killed has this much
    except CannotCheck as error:
        report.fail("preparation", str(error))
    except KeyboardInterrupt:
        report.fail("everything", "interrupted")
    finally:
        if not chosen.work:
            shutil.rmtree(work, ignore_errors=True)
    text = report.text(time.monotonic() - begin)
    chosen.report.write_text(text)
    print(text)
    return int(report.is_bad())


def prepare(here: Path, work: Path, pieces: Path, report: Report) -> steps.Machine:
    """Make the environment and copies of the projects; without the pieces, one without ONNX Runtime."""
    work.mkdir(parents=True, exist_ok=True)
    machine = steps.Machine(work)
    made = work / "environment"
    if not made.exists():
        environment.make(made)
    if not machine.has_onnxruntime:
        try:
            environment.add(made, environment.put_together(pieces, work / "wheel"))
        except CannotCheck as error:
            report.note(f"without ONNX Runtime: {error}")
    shutil.rmtree(work / "projects", ignore_errors=True)  # a training would go on where the last check ended
    shutil.copytree(here / "projects", work / "projects")
    return machine


if __name__ == "__main__":
    sys.exit(main())
