"""What a sweep may look for at once: the score, and what a model costs.

Enters: names, and a finished trial's record. Leaves: one number each, as a study is told them.
"""

import statistics
from collections.abc import Mapping, Sequence
from typing import Literal

Objective = Literal["score", "num_parameters", "latency_ms"]

# Of every seed that is trained to its end: name → number.
Measured = Mapping[int, Mapping[str, float]]

DIRECTIONS: Mapping[Objective, Literal["maximize", "minimize"]] = {
    "score": "maximize",
    "num_parameters": "minimize",
    "latency_ms": "minimize",
}


def values_of(
    objectives: Sequence[Objective], *, score: float | None, measured: Measured, seeds: Sequence[int]
) -> list[float] | None:
    """A finished trial's numbers in the order of its objectives; None where one was not measured.

    Args:
        score: the trial's objective at its end.
        measured: of its seeds; what counts is the median over all of them.
    """
    found: list[float] = []
    for name in objectives:
        of_seeds = [measured[seed][name] for seed in seeds if name in measured.get(seed, {})]
        if name == "score" and score is not None:
            found.append(score)
        elif name != "score" and len(of_seeds) == len(seeds):
            found.append(statistics.median(of_seeds))
        else:
            return None
    return found
