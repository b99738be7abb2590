"""Splits and samples by content hash: what happens to an example depends on that example alone."""

import math
from collections.abc import Mapping, Sequence

from fulcrum.errors import TaskError
from fulcrum.hashing import seed_from
from fulcrum.settings import nearest
from fulcrum.task.example import SPLITS, Example, Split


def split_by_hash(
    examples: Sequence[Example], shares: Mapping[str, float], seed: int = 0
) -> dict[Split, list[Example]]:
    """Deal examples out to train, dev and test by the content hash of their input.

    An example's split depends on its input, the shares and the seed, so adding or removing examples never moves
    another one. The sizes therefore meet the shares only on average.

    Args:
        examples: what to deal out; each split keeps their order.
        shares: share of each split, adding up to 1; a split left out gets nothing.
        seed: another seed gives another, independent deal.

    Raises:
        TaskError: a share is negative or of no split, or they do not add up to 1.
    """
    for name, share in shares.items():
        if name not in SPLITS:
            raise TaskError(f"shares: no split {name!r}{nearest(name, SPLITS)}; the splits are {', '.join(SPLITS)}")
        if not share >= 0:
            raise TaskError(f"shares: {name} is {share}; a share is 0 or more")
    if not math.isclose(sum(shares.values()), 1, abs_tol=1e-6):
        raise TaskError(f"shares: they add up to {sum(shares.values()):g}, not to 1")
    splits: dict[Split, list[Example]] = {split: [] for split in SPLITS}
    used: list[Split] = [split for split in SPLITS if shares.get(split, 0) > 0]
    for example in examples:
        place = _place(example, "split", seed)
        for split in used:
            place -= shares[split]
            # Rounding may leave a place past the last border.
            if place < 0 or split == used[-1]:
                splits[split].append(example)
                break
    return splits


def sample_by_hash(examples: Sequence[Example], count: int, seed: int = 0) -> list[Example]:
    """Return `count` of the examples, drawn by content hash, in the order given.

    With the same seed a smaller sample is part of every larger one.

    Raises:
        TaskError: there are not that many.
    """
    if count > len(examples):
        raise TaskError(f"{count} examples wanted, but there are {len(examples)}")
    drawn = sorted(range(len(examples)), key=lambda index: _place(examples[index], "sample", seed))[:count]
    return [examples[index] for index in sorted(drawn)]


def _place(example: Example, purpose: str, seed: int) -> float:
    """Return a number in 0..1 that belongs to this input, purpose and seed."""
    return seed_from(purpose, seed, example.id) / 2**63
