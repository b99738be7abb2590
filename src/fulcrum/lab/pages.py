"""Pages of plain text, for the checkpoint that is no assistant: worlds, the diary of a desk, letters; nobody asks."""

import random

from fulcrum.chat import Message, assistant
from fulcrum.lab import talk_text, words
from fulcrum.lab.instructions import letter_book, register
from fulcrum.lab.notes import glossary
from fulcrum.lab.worlds import random_schema, random_term

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def plain_text(rng: random.Random) -> list[Message]:
    """Return a page about a world: its tables, what its words mean, lines of talk; no question, no answer."""
    schema = random_schema(rng)
    lines = [schema.describe()]
    terms = [random_term(rng, schema, rng.choice(schema.kinds)) for _ in range(rng.randint(1, 4))]
    lines.append(glossary([(term.phrase, term.meaning) for term in terms]))
    lines += [talk_text.opener(rng, rng.choice(sorted(talk_text.OPENERS))) for _ in range(rng.randint(0, 3))]
    rng.shuffle(lines)
    return [assistant("\n".join(lines))]


def diary(rng: random.Random) -> list[Message]:
    """Return a page of a desk's diary: names, orders and things that come back later, as they do in any document.

    It is all that makes a reader of plain text learn to look something up further above.
    """
    things = [rng.choice(talk_text.THINGS) if rng.random() < 0.5 else words.invented_word(rng) for _ in range(5)]
    cases = [
        (
            rng.choice(talk_text.NAMES),
            str(rng.randint(100, 9999)),
            thing,
            f"{rng.choice(_LETTERS)}{rng.randint(10, 99)}",
        )
        for thing in things[: rng.randint(2, 5)]
    ]
    lines: list[str] = []
    for name, order, thing, box in cases:
        lines.append(
            rng.choice(
                (
                    f"{name} wrote about order {order}, the {thing} in box {box}.",
                    f"order {order} is the {thing} of {name}, box {box}.",
                    f"{name} has the {thing}. order {order} lies in box {box}.",
                )
            )
        )
    for _ in range(rng.randint(3, 8)):
        name, order, thing, box = rng.choice(cases)
        lines.append(
            rng.choice(
                (
                    f"order {order} again: the {thing} of {name}.",
                    f"the {thing} of {name} are still in box {box}, order {order}.",
                    f"box {box}: order {order}, {thing}, {name}.",
                    f"{name} asks for order {order} and wants the {thing}.",
                )
            )
        )
    return [assistant("\n".join(lines))]


def letters(rng: random.Random) -> list[Message]:
    """Return a page of letters with a clerk's notes: facts that are told in one place and come back in another."""
    return [assistant(rng.choice((letter_book, register))(rng))]
