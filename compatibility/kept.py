"""Keeps answers below the user's cache folder, so that a second run asks for nothing."""

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
    """Return the folder of what these checks looked up."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "capy-template" / "packages"


@dataclass(frozen=True)
class Kept:
    """Answers in one folder, a JSON file each; a file that cannot be read counts as missing."""

    folder: Path

    def get(self, key: str, ask: Callable[[], Any]) -> Any:
        """Return the answer of `key`, else ask and keep it; what `ask` raises is not kept."""
        path = self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:40]}.json"
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if found["key"] == key:
                return found["answer"]
        except (OSError, ValueError, KeyError, TypeError):
            pass
        answer = ask()
        self.folder.mkdir(parents=True, exist_ok=True)
        # renamed into place, so that an interrupted run leaves no half of a file
        with tempfile.NamedTemporaryFile("w", dir=self.folder, delete=False, encoding="utf-8") as file:
            json.dump({"key": key, "answer": answer}, file)
        Path(file.name).replace(path)
        return answer
