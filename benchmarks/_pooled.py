"""Means and paired differences of what was achieved on the questions of several seeds or shops."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from fulcrum.evaluation.pairing import Outcome, mean_of, pair

Achieved = Mapping[str, Outcome]
"""What is achieved on each question."""


def average(seeds: Iterable[Achieved]) -> Achieved:
    """Return the mean outcome of each question over the seeds."""
    found: dict[str, list[Outcome]] = {}
    for achieved in seeds:
        for question, outcome in achieved.items():
            found.setdefault(question, []).append(outcome)
    return {
        question: Outcome(sum(one.value for one in all_) / len(all_), sum(one.solved for one in all_) / len(all_))
        for question, all_ in found.items()
    }


def told(achieved: Achieved) -> dict[str, Any]:
    """Return the mean over questions with its interval."""
    mean = mean_of(achieved)
    assert mean, "no answer was scored"
    return {"n": len(achieved), **asdict(mean)}


def ahead(before: Achieved, after: Achieved) -> dict[str, Any]:
    """Return by how much one is ahead of another on the same questions, and what it breaks."""
    pairing = pair(before, after)
    assert pairing, "no question was answered by both"
    return {"n": pairing.n, **asdict(pairing.difference), "harm": pairing.harm and pairing.harm.estimate}
