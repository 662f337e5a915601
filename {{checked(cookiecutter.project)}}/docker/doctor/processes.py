"""Run programs and Python code in separate processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

NO_ANSWER, AGAIN = "no answer within", "run it again: a slow disk needs longer the first time"
# -I: ignore the current folder and PYTHONPATH. -B: write no files in a build.
PYTHON = [sys.executable, "-I", "-B"]


def run(command: list[str], seconds: int = 60) -> subprocess.CompletedProcess[str]:
    """Run a program without input, in English, and return the completed process."""
    none, environment = subprocess.DEVNULL, {**os.environ, "LC_ALL": "C.UTF-8"}
    captured = {"capture_output": True, "text": True, "errors": "replace"}
    return subprocess.run(command, stdin=none, env=environment, timeout=seconds, **captured)


def python(script: str, *arguments: str, seconds: int = 300) -> tuple[str, str]:
    """Run Python code; return its output and, if it fails, its error."""
    try:
        done = run([*PYTHON, "-c", script, *arguments], seconds)
    except subprocess.TimeoutExpired:
        return "", f"{NO_ANSWER} {seconds} s"
    if done.returncode < 0:
        return done.stdout, f"killed by {signal.Signals(-done.returncode).name}"
    return done.stdout, (done.stderr.strip() or "no reason given") if done.returncode else ""


def error_summary(error: str) -> str:
    """Return the line with the cause from a traceback or from ONNX Runtime's log."""
    error = re.sub(r"\x1b\[[\d;]*m", "", error)
    library = re.search(r"with error: (.+)", error)
    line = library[1] if library else (error.strip().splitlines() or ["no reason given"])[-1]
    return line.split(" ; ")[0].split("void] ")[-1][:300]
