"""Which operators of an int8 model stay in float32: those that cost the most accuracy."""

import dataclasses
from collections.abc import Callable, Sequence

# Groups of consecutive operators are tried rather than single ones: a boundary between int8 and
# float32 costs two conversions, and the tries stay few.
MAX_GROUPS = 12
# One try for int8 throughout, one for each group, and four to find how many groups are needed.
MAX_TRIES = MAX_GROUPS + 5
# Where validation has too few anomalies to measure an AUROC, the error of the normal images' scores
# stands for it. At a threshold with 5 % false alarms, normal scores have a density of about 0.1 per
# deviation, and those of anomalies, which are spread around it, up to twice as much. So an error of
# 0.03 deviations (0.025 on average) turns 0.5 % of the decisions at most, which is what is allowed.
MAX_SCORE_ERROR = 0.03
# From so many images of both classes on, the AUROC and the decisions are measured well enough.
MIN_OF_EACH_CLASS = 100
# With less than that in int8, the model would hardly be faster than the float32 one.
MIN_INT8_SHARE = 0.5


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How an int8 model agrees with the float32 one on validation images.

    Args:
        score_error: standard deviation of the change of normal images' scores, in units of the
            standard deviation of their float32 scores.
        differing: share of decisions that differ, each model at its own threshold.
        auroc_drop: how much lower the AUROC is, at least, with 95 % confidence; 0 with fewer than
            two images of either class.
        allowed_score_error: None where there are enough images of both classes to go by the
            decisions and the AUROC alone.
        allowed_differing: share of decisions that may differ.
        allowed_auroc_drop: see `export.limits`.
    """

    score_error: float
    differing: float
    auroc_drop: float
    allowed_score_error: float | None
    allowed_differing: float
    allowed_auroc_drop: float

    @property
    def holds(self) -> bool:
        """Whether the int8 model is good enough, as far as these images tell."""
        return (
            (self.allowed_score_error is None or self.score_error <= self.allowed_score_error)
            and self.differing <= self.allowed_differing
            and self.auroc_drop <= self.allowed_auroc_drop
        )

    @property
    def excess(self) -> float:
        """How far the agreement is from holding; smaller is better. It ranks the tries."""
        return (
            self.score_error / MAX_SCORE_ERROR
            + self.differing / self.allowed_differing
            + max(self.auroc_drop, 0.0) / max(self.allowed_auroc_drop, 1e-9)
        )


@dataclasses.dataclass(frozen=True)
class Found:
    """What `keep_float` found.

    Args:
        kept: the groups to keep in float32: the fewest that make the model good enough or, where
            none do, those that come nearest.
        tries: how many models were quantised and measured.
        first: agreement with all groups in int8.
        chosen: agreement with `kept` in float32.
    """

    kept: frozenset[int]
    tries: int
    first: Agreement
    chosen: Agreement


def keep_float(
    measure: Callable[[frozenset[int]], Agreement],
    work: Sequence[float],
    max_tries: int = MAX_TRIES,
) -> Found:
    """Finds the fewest groups that must stay in float32.

    A group costs what the agreement loses if it alone is in int8. (To keep one alone in float32
    would tell less: a tensor between two groups is rounded until both are in float32.) The dearest
    are kept in float32, as many as are needed; the number is found by bisection.

    Args:
        measure: quantises all but the given groups and says how the model agrees.
        work: multiplications of each group; at least `MIN_INT8_SHARE` of all stay in int8.
        max_tries: how often `measure` may be called, at least 1. With fewer than one for each
            group and one more, all groups stay in int8.
    """
    nothing: frozenset[int] = frozenset()
    everything = frozenset(range(len(work)))
    tried = {nothing: measure(nothing)}
    if not tried[nothing].holds and max_tries > len(work):
        for group in everything:
            kept = everything - {group}
            tried.setdefault(kept, measure(kept) if kept else tried[nothing])
        order = sorted(everything, key=lambda group: -tried[everything - {group}].excess)
        low, high = 1, len(work) - 1
        while low <= high and len(tried) < max_tries:
            count = (low + high) // 2
            kept = frozenset(order[:count])
            if not _enough_in_int8(kept, work):
                high = count - 1
                continue
            if kept not in tried:
                tried[kept] = measure(kept)
            low, high = (low, count - 1) if tried[kept].holds else (count + 1, high)
    allowed = [kept for kept in tried if _enough_in_int8(kept, work)]
    holding = [kept for kept in allowed if tried[kept].holds]
    best = min(
        holding or allowed, key=lambda kept: (len(kept) if holding else 0, tried[kept].excess)
    )
    return Found(best, len(tried), tried[nothing], tried[best])


def _enough_in_int8(kept: frozenset[int], work: Sequence[float]) -> bool:
    return sum(work[group] for group in kept) <= (1 - MIN_INT8_SHARE) * sum(work)
