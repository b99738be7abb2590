"""Letters of customers to the desk, with the facts that stand in them."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from fulcrum.lab import words

TOPICS: dict[str, tuple[str, ...]] = {
    "broken": (
        "the {thing} came broken.",
        "there is a crack in the {thing}.",
        "my {thing} fell apart.",
        "the {thing} does not work.",
        "i got a damaged {thing}.",
        "a part of the {thing} is torn.",
    ),
    "late": (
        "where is my {thing}?",
        "the {thing} has not come yet.",
        "i still wait for the {thing}.",
        "the {thing} should be here by now.",
        "nobody has brought the {thing}.",
        "when does the {thing} arrive?",
    ),
    "wrong": (
        "i got the wrong {thing}.",
        "this is not the {thing} that i chose.",
        "you sent another {thing} than mine.",
        "somebody mixed up my {thing}.",
        "the {thing} has the wrong size.",
        "that {thing} is not what i asked for.",
    ),
    "refund": (
        "i want my money back for the {thing}.",
        "please refund the {thing}.",
        "pay me back for the {thing}.",
        "when do i get the money for the {thing}?",
        "the {thing} goes back, i want my coins.",
        "i ask for a refund of the {thing}.",
    ),
    "cancel": (
        "please cancel the {thing}.",
        "i do not need the {thing} any more.",
        "call off the {thing}.",
        "do not send the {thing}.",
        "i changed my mind about the {thing}.",
        "forget about the {thing}.",
    ),
    "address": (
        "i moved, bring the {thing} to my new home.",
        "my address for the {thing} has changed.",
        "send the {thing} to my office.",
        "the {thing} must go to another street.",
        "deliver the {thing} to my neighbour.",
        "i gave the wrong street for the {thing}.",
    ),
    "invoice": (
        "i need an invoice for the {thing}.",
        "the bill for the {thing} is too high.",
        "you charged me twice for the {thing}.",
        "there is no receipt for the {thing}.",
        "what did i pay for the {thing}?",
        "the price on the bill of the {thing} is odd.",
    ),
    "praise": (
        "the {thing} is lovely.",
        "i am so glad with the {thing}.",
        "best {thing} that i ever had.",
        "thank you for the fine {thing}.",
        "my friends love the {thing}.",
        "what a good {thing}.",
    ),
}
"""What letters are about, and how they say it."""

_GREETINGS = ("hi, this is {name}.", "{name} here.", "dear desk, i am {name}.", "good day, {name} speaking.")
_FAREWELLS = ("yours, {name}.", "regards, {name}.", "{name}.")
_ORDERS = ("my order is {order}.", "it is order {order}.", "the number is {order}.", "see order {order}.")
_URGENT = ("please hurry.", "it is urgent.", "i need it today.", "do it at once.")
_CALM = ("take your time.", "there is no hurry.", "any day will do.")


@dataclass(frozen=True)
class Letter:
    """A letter and its facts.

    Attributes:
        name: of the customer.
        thing: what the letter is about.
        topic: a key of `TOPICS`.
        order: order number; None if the letter does not tell it.
        urgent: true if the customer has no time.
        text: the letter.
    """

    name: str
    thing: str
    topic: str
    order: int | None
    urgent: bool
    text: str


def write_letter(rng: random.Random, name: str, thing: str, order: int, topic: str) -> Letter:
    """Return a letter about a topic in random words; one in eight leaves the order number out."""
    urgent, told = rng.random() < 0.35, rng.random() < 0.875
    middle = [rng.choice(TOPICS[topic]).format(thing=thing)]
    if told:
        middle.insert(rng.choice((0, 1)), rng.choice(_ORDERS).format(order=order))
    if urgent:
        middle.append(rng.choice(_URGENT))
    elif rng.random() < 0.3:
        middle.append(rng.choice(_CALM))
    if rng.random() < 0.6:
        parts = [rng.choice(_GREETINGS).format(name=name), *middle]
    else:
        parts = [*middle, rng.choice(_FAREWELLS).format(name=name)]
    return Letter(name, thing, topic, order if told else None, urgent, " ".join(parts))


def random_letter(rng: random.Random, topics: Sequence[str] = tuple(TOPICS)) -> Letter:
    """Return a letter of no shop.

    Its customer, its goods and its order number are those of no shop, so it is not even nearly a shop's letter.
    """
    name = f"{rng.choice(words.FIRST_NAMES.split())} {words.invented_word(rng)}"
    thing = rng.choice(words.WORLD_NOUNS.split()) if rng.random() < 0.5 else words.invented_word(rng)
    return write_letter(rng, name, thing, rng.randint(2000, 9999), rng.choice(topics))


def letter_book(rng: random.Random) -> str:
    """Return a page of a desk's letter book: letters, and under each what the clerk noted down of it.

    The clerk of a page always notes the same facts in the same way, so that there is something to look up above.
    """
    note = rng.choice(_NOTES)
    letters = [random_letter(rng) for _ in range(rng.randint(3, 6))]
    return "\n".join(f"{letter.text}\n{note.format(name=letter.name, order=letter.order or '-')}" for letter in letters)


def register(rng: random.Random) -> str:
    """Return a page of a desk's register: what came in, each thing with its heading and whether it has time.

    Only from pages as dense as these does a tiny model learn that sentences in different words are about the same.
    """
    lines: list[str] = []
    for _ in range(rng.randint(5, 9)):
        letter = random_letter(rng)
        heading = HEADINGS[letter.topic]
        if rng.random() < 0.5:
            lines.append(f"{letter.text} / {heading}, {'now' if letter.urgent else 'later'}")
        else:
            lines.append(f"{rng.choice(TOPICS[letter.topic]).format(thing=letter.thing)} / {heading}")
    return "\n".join(lines)


_NOTES = (
    "order {order}, {name}",
    "{name}: order {order}",
    "from {name}, order {order}",
    "[{order}] {name}",
    "number {order} name {name}",
    "({name}, {order})",
)
HEADINGS = {
    "broken": "damage",
    "late": "delay",
    "wrong": "mix-up",
    "refund": "payment",
    "cancel": "stop",
    "address": "move",
    "invoice": "accounts",
    "praise": "thanks",
}
"""What a desk calls each topic: in its register, and in general questions about letters."""
