"""Cache answers below the user's cache folder."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def cache_folder() -> Path:
    """Return the cache folder of these checks."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "capy-template" / "packages"


@dataclass(frozen=True)
class JsonCache:
    """Answers in one folder, one JSON file each; an unreadable file counts as missing."""

    folder: Path

    def get(self, key: str, ask: Callable[[], Any]) -> Any:
        """Return the cached answer of `key`, else call `ask` and cache its result. Raises what `ask` does."""
        path = self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:40]}.json"
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if found["key"] == key:
                return found["answer"]
        except (OSError, ValueError, KeyError, TypeError):
            pass
        answer = ask()
        self.folder.mkdir(parents=True, exist_ok=True)
        # renamed into place, so that an interrupted run leaves no partial file
        with tempfile.NamedTemporaryFile("w", dir=self.folder, delete=False, encoding="utf-8") as file:
            json.dump({"key": key, "answer": answer}, file)
        Path(file.name).replace(path)
        return answer
