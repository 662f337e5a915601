"""Hold the measured values and compute their ratios."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass

PRODUCT, FLOOR, GUIDE, OTHER = "product", "floor", "guide", "other"
MEASURED, COMPUTED = "measured", "computed"


@dataclass(frozen=True)
class Spread:
    """The median, the lowest and the highest of several values."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """Return the spread of at least one value."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True)
class Goal:
    """A limit for the product's ratio to another way, or for its own value."""

    limit: float
    against: str | None = None
    at_least: bool = False

    def __str__(self) -> str:
        """Return the goal as text: ≤ 1.05 of floor."""
        sign = "≥" if self.at_least else "≤"
        return f"{sign} {self.limit:g}" + (f" of {self.against}" if self.against else "")


@dataclass(frozen=True)
class Row:
    """One question: a value of each way for each round."""

    name: str
    unit: str
    values: dict[str, list[float]]
    goals: tuple[Goal, ...] = ()
    how: str = MEASURED

    def value(self, way: str) -> Spread:
        """Return the spread of one way's values, in the row's unit."""
        return Spread.of(self.values[way])

    def ratio(self, way: str) -> Spread:
        """Return the spread of product ÷ way in each round: a slow round slows both.

        Raises ValueError if the numbers of rounds differ.
        """
        pairs = zip(self.values[PRODUCT], self.values[way], strict=True)
        return Spread.of([ours / theirs for ours, theirs in pairs])

    def met(self, goal: Goal) -> bool:
        """Return whether the median meets a goal."""
        found = (self.ratio(goal.against) if goal.against else self.value(PRODUCT)).median
        return found >= goal.limit if goal.at_least else found <= goal.limit


def as_data(rows: list[Row], machine: dict[str, str | int]) -> dict:
    """Return a run as data for JSON."""
    return {"machine": machine, "rows": [row_as_data(row) for row in rows]}


def row_as_data(row: Row) -> dict:
    """Return a row with its spreads and ratios, as data for JSON."""
    # no ratio to 0: a start of the bare engine writes 0 bytes
    others = [way for way, values in row.values.items() if way != PRODUCT and all(values)]
    return asdict(row) | {
        "ratios": {way: asdict(row.ratio(way)) for way in others},
        "met": [row.met(goal) for goal in row.goals],
    }
