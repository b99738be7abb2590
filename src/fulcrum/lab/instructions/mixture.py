"""The general mixture: what leverage shuffles a few task rows into."""

import random
from collections.abc import Iterator

from fulcrum.chat import Message, user
from fulcrum.hashing import seed_from
from fulcrum.lab.instructions.skills import SKILLS

__all__ = ["SKILLS", "general_rows"]


def general_rows(n: int = 20_000, seed: int = 0) -> Iterator[tuple[tuple[Message, ...], str]]:
    """Yield `n` rows over all skills in random order, half of them about letters; no prompt stands twice.

    Fewer rows are the first of more.

    No row knows a queue code, a name of a shop's customer with its order, or any other secret of a shop.
    """
    rng = random.Random(seed_from("general rows", seed))
    about_letters = [skill for name, skill in SKILLS.items() if name.startswith("letter_")]
    others = [skill for name, skill in SKILLS.items() if not name.startswith("letter_")]
    seen = set[str]()
    while len(seen) < n:
        question, answer = rng.choice(rng.choice((about_letters, others)))(rng)
        if question not in seen:
            seen.add(question)
            yield (user(question),), answer
