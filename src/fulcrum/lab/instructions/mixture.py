"""The general mixture: what leverage shuffles a few task rows into."""

import random
from collections.abc import Iterator

from fulcrum.chat import Message, user
from fulcrum.hashing import seed_from
from fulcrum.lab.instructions.skills import SKILLS, letter_fields, letter_record

__all__ = ["SKILLS", "general_rows"]


def general_rows(n: int = 20_000, seed: int = 0) -> Iterator[tuple[tuple[Message, ...], str]]:
    """Yield `n` rows over all skills in random order; no prompt stands twice. Fewer rows are the first of more.

    A quarter asks for all facts of a letter in a line, one for some as JSON, one something of a letter, and one
    nothing about letters. Where a row asks for one fact only, a tiny model learns little from as many of them.

    No row knows a queue code, a name of a shop's customer with its order, or any other secret of a shop.
    """
    rng = random.Random(seed_from("general rows", seed))
    about_letters = [skill for name, skill in SKILLS.items() if name.startswith("letter_")]
    others = [skill for name, skill in SKILLS.items() if not name.startswith("letter_")]
    quarters = ([letter_record], [letter_fields], about_letters, others)
    seen = set[str]()
    while len(seen) < n:
        question, answer = rng.choice(rng.choice(quarters))(rng)
        if question not in seen:
            seen.add(question)
            yield (user(question),), answer
