"""Check all answers once more, called from the name of the template's folder: before any folder exists.

The filters of cookiecutter.json do not see a replay file, and the command line, a configuration file or a
replay file can set hidden answers. Without the extension `checked` is undefined, and cookiecutter stops.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cookiecutter.exceptions import FailedHookException
from jinja2 import Environment, pass_context
from jinja2.runtime import Context

QUESTIONS = Path(__file__).resolve().parent.parent / "cookiecutter.json"
DELIMITERS = [f"{kind}_{end}_string" for kind in ("block", "variable", "comment") for end in ("start", "end")]
PREFIXES = ["line_statement_prefix", "line_comment_prefix"]


@pass_context
def checked(context: Context, project: Any) -> str:
    """Return the name of the project's folder after a check of every answer, hidden ones included.

    Raises FailedHookException, which does not quote the answer: it may contain a password.
    """
    answers = context["cookiecutter"]
    for name, ours in json.loads(QUESTIONS.read_text(encoding="utf-8")).items():
        if name == "__prompts__":
            continue
        if name not in answers:
            raise refusal(name, "it is missing: a replay file of another version of the template lacks it")
        if not is_sound(context.environment, name, ours, answers):
            raise refusal(name)
    return project


def is_sound(environment: Environment, name: str, ours: Any, answers: Mapping[str, Any]) -> bool:
    """Return whether cookiecutter.json allows an answer. Raises errors of its filters."""
    answer = answers[name]
    if name.startswith("__"):
        return answer == environment.from_string(ours).render(cookiecutter=answers)
    if name.startswith("_"):
        return answer == ours
    if isinstance(ours, list):
        return answer in ours
    return isinstance(answer, type(ours))


def refuse_other_syntax(environment: Environment) -> None:
    """Raise FailedHookException if `_jinja2_env_vars` changes the delimiters that the extension looks for."""
    usual = Environment()
    if any(getattr(environment, name) != getattr(usual, name) for name in [*DELIMITERS, *PREFIXES]):
        raise refusal("_jinja2_env_vars")


def refusal(name: str, reason: str = "") -> FailedHookException:
    """Return the error for an answer that cookiecutter.json does not allow: one line."""
    decided = (
        "the template sets it; leave it out" if name.startswith("_") else "this is not one of its answers"
    )
    reason = reason or decided
    return FailedHookException(f"{name} cannot be used: {reason}. No project was written")
