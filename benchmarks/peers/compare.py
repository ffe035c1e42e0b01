"""The regression guard: which ratios of a new run moved beyond noise."""

import dataclasses
from collections.abc import Mapping
from typing import Any

# Runs on the same machine differ by a few per cent even where their rounds agree.
MIN_CHANGE = 0.05
SHARE = "share of matrix-product rate"


@dataclasses.dataclass(frozen=True)
class Change:
    """A ratio in two runs; higher is better.

    Args:
        name: of the cell and the ratio.
        before, after: `median`, `low` and `high` quartile over the rounds.
    """

    name: str
    before: Mapping[str, float]
    after: Mapping[str, float]

    @property
    def noise(self) -> float:
        """The largest difference of medians that counts as noise.

        It is the width of both quartile ranges together, over four standard errors of such a
        difference with seven rounds or more, and at least `MIN_CHANGE` of the kept ratio.
        """
        widths = sum(one["high"] - one["low"] for one in (self.before, self.after))
        return max(widths, MIN_CHANGE * self.before["median"])

    @property
    def difference(self) -> float:
        return self.after["median"] - self.before["median"]

    @property
    def moved(self) -> bool:
        """Whether it moved beyond noise."""
        return abs(self.difference) > self.noise

    @property
    def is_worse(self) -> bool:
        """Whether it became smaller beyond noise."""
        return self.moved and self.difference < 0

    def __str__(self) -> str:
        verdict = "worse" if self.is_worse else "better" if self.moved else "unchanged"
        return (
            f"{verdict:9} {self.name}: {self.before['median']:.2f} -> {self.after['median']:.2f} "
            f"(noise: {self.noise:.2f})"
        )


def compare(kept: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[list[Change], list[str]]:
    """The ratios of both runs, and the names of those that only one of them has.

    Args:
        kept, new: files of `python -m benchmarks.peers`.
    """
    before, after = _ratios(kept), _ratios(new)
    both = [name for name in before if name in after]
    alone = sorted(before.keys() ^ after.keys())
    return [Change(name, before[name], after[name]) for name in both], alone


def other_machine(kept: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """What differs between the machines of two runs; empty if nothing is known to."""
    differing = []
    for name in ("machine", "processor", "threads"):
        found = [run.get(name, run.get("about", {}).get(name)) for run in (kept, new)]
        if found[0] != found[1]:
            differing.append(f"{name}: {found[0]} and {found[1]}")
    return "; ".join(differing)


def _ratios(run: Mapping[str, Any]) -> dict[str, Mapping[str, float]]:
    found = {}
    for cell, values in run["cells"].items():
        found |= {f"{cell}, {name}": value for name, value in values["ratios"].items()}
        if "share_of_gemm" in values:
            found[f"{cell}, {SHARE}"] = values["share_of_gemm"]
    return found
