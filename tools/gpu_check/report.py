"""Write the report of a GPU check: facts, tables, and the differences between doctor and GPU."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field


@dataclass
class Report:
    """Collect the findings of the steps in order."""

    sections: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    disagreements: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def table(self, title: str, rows: dict[str, object]) -> None:
        """Add a table of two columns."""
        lines = [f"| {name} | {value} |" for name, value in rows.items()]
        self.sections.append((title, "\n".join(["| what | found |", "|---|---|", *lines])))

    def output(self, title: str, text: str) -> None:
        """Add the output of a program."""
        self.sections.append((title, f"```\n{text.strip()}\n```"))

    def note(self, text: str) -> None:
        """Add a difference that is no error: another version than the matrix's, a missing part."""
        self.notes.append(text)

    def disagree(self, text: str) -> None:
        """Add a difference between the doctor's report and the GPU."""
        self.disagreements.append(text)

    def fail(self, step: str, reason: str) -> None:
        """Add a step that failed or has a wrong result."""
        self.failures.append(f"{step}: {reason}")

    def is_bad(self) -> bool:
        """Return whether the check must fail."""
        return bool(self.disagreements or self.failures)

    def text(self, seconds: float) -> str:
        """Return the report as Markdown, the verdict first."""
        day = datetime.datetime.now(datetime.UTC).date().isoformat()
        verdict = "the doctor and the GPU agree"
        if self.is_bad():
            verdict = f"{len(self.disagreements)} disagreements, {len(self.failures)} failures"
        parts = [f"# GPU check, {day}: {verdict}", f"{seconds:.0f} s."]
        for title, lines in {
            "The doctor and the GPU disagree": self.disagreements,
            "Failed": self.failures,
            "Other than in the matrix": self.notes,
        }.items():
            if lines:
                parts += [f"## {title}", "\n".join(f"- {line}" for line in lines)]
        for title, body in self.sections:
            parts += [f"## {title}", body]
        return "\n\n".join(parts) + "\n"
