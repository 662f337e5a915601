"""The last check of all answers, which the name of the template's folder calls: no folder exists before it.

A replay file is never rendered, so no filter of cookiecutter.json sees it, and the command line, a
configuration file and a replay file can each set a hidden answer to something else than what follows from
the others. Without the extension the name of the folder has no `checked`, and cookiecutter stops.
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
    """Return the name of the project's folder, after a check of every answer, the hidden ones included.

    Raises FailedHookException, which quotes nothing of an answer that may hold a password.
    """
    answers = context["cookiecutter"]
    for name, ours in json.loads(QUESTIONS.read_text(encoding="utf-8")).items():
        if name == "__prompts__":
            continue
        if name not in answers:
            raise refusal(name, "it is missing, as in a replay file of another version of the template")
        if not is_sound(context.environment, name, ours, answers):
            raise refusal(name)
    return project


def is_sound(environment: Environment, name: str, ours: Any, answers: Mapping[str, Any]) -> bool:
    """Return whether an answer is one that cookiecutter.json allows; raises what its filters raise."""
    answer = answers[name]
    if name.startswith("__"):
        return answer == environment.from_string(ours).render(cookiecutter=answers)
    if name.startswith("_"):
        return answer == ours
    if isinstance(ours, list):
        return answer in ours
    return isinstance(answer, type(ours))


def refuse_other_syntax(environment: Environment) -> None:
    """Raise FailedHookException where `_jinja2_env_vars` would hide Jinja in an answer from the extension."""
    usual = Environment()
    if any(getattr(environment, name) != getattr(usual, name) for name in [*DELIMITERS, *PREFIXES]):
        raise refusal("_jinja2_env_vars")


def refusal(name: str, reason: str = "") -> FailedHookException:
    """Return the one line about an answer that is none of cookiecutter.json's."""
    decided = "the template decides it; leave it out" if name.startswith("_") else "this is no answer to it"
    reason = reason or decided
    return FailedHookException(f"{name} cannot be used: {reason}. No project was written")
