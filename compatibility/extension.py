"""Jinja extension for cookiecutter.json: `cookiecutter | stack` is what two answers stand for."""

from __future__ import annotations

from collections.abc import Mapping

from cookiecutter.exceptions import FailedHookException
from jinja2 import Environment
from jinja2.ext import Extension

from compatibility.matrix import Stack, Unserved, stack


def chosen(answers: Mapping[str, str]) -> Stack:
    """Return the stack of the answers `environment` and `cuda`.

    Raises FailedHookException, which cookiecutter prints as one line, for a pair that cannot be had,
    and for a name that a replay file has from elsewhere.
    """
    try:
        return stack(answers["environment"], answers["cuda"])
    except KeyError as error:
        raise FailedHookException(
            f"{error} is no answer to `environment` or `cuda` of this template"
        ) from None
    except Unserved as error:
        raise FailedHookException(f"{error}. Nothing was written") from None


class Compatibility(Extension):
    """Gives the template's files the filter above."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.filters["stack"] = chosen
