"""Provide a Docker Engine for one test alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engines import engine as engines
from engines.daemon import Daemon
from engines.gpu_engine import make_bridge, programs, remove, second_daemon
from engines.steps import EngineError, locked
from tests.support.engine import give_up


@contextmanager
def own_engine(name: str, config: pytest.Config, data: Path | None = None) -> Iterator[tuple[Daemon, dict]]:
    """Start a dockerd that a test may stop; yield it and the variables for its clients."""
    try:
        engines.refuse_unless_debian_and_root()
    except EngineError as error:
        give_up(config, f"NO ENGINE OF ITS OWN: {error}")
    plain = second_daemon(name)
    daemon = Daemon(plain.name, plain.bridge, data_folder=data)
    server, client = programs()
    try:
        with locked():
            remove(daemon, client)
            make_bridge(daemon.bridge)
            daemon.start(server)
        yield daemon, {"DOCKER_HOST": daemon.url}
    finally:
        with locked():
            remove(daemon, client)
