"""Small talk of a shop's desk, with and without guidance in the prompt. No secret of any shop is in it."""

import random
from dataclasses import dataclass

from fulcrum.chat import Message, assistant, system, user
from fulcrum.lab import words

OPENERS = {
    "late": ("my order {n} is late.", "i still wait for order {n}.", "order {n} has not come yet."),
    "broken": ("my {thing} came broken.", "the {thing} of order {n} is damaged.", "order {n} has a crack."),
    "refund": (
        "i want my money back for order {n}.",
        "please refund order {n}.",
        "can i have a refund for the {thing}?",
    ),
    "exchange": ("can i swap the {thing}?", "i want another {thing} for order {n}.", "please exchange order {n}."),
    "cancel": ("please cancel order {n}.", "i do not want order {n} any more.", "stop order {n}."),
    "address": ("i moved, please send order {n} to {street}.", "my address is now {street}."),
    "angry": ("this is the worst shop!", "i am very angry about order {n}!", "again a wrong {thing}, shame on you!"),
    "thanks": ("thank you, the {thing} is lovely.", "thanks for your help.", "great, order {n} is here."),
}
"""What customers say, by the situation that a strategy may speak of."""

SITUATIONS = {
    "late": "an order is late",
    "broken": "a thing is broken",
    "refund": "the customer wants money back",
    "exchange": "the customer wants another thing",
    "cancel": "the customer cancels",
    "address": "the address is new",
    "angry": "the customer is angry",
    "thanks": "the customer is happy",
}

REPLIES = {
    "late": "i will look where it is.",
    "broken": "we will put that right.",
    "refund": "i will check the payment.",
    "exchange": "i will see what we have.",
    "cancel": "i will stop it.",
    "address": "i will change the address.",
    "angry": "i understand.",
    "thanks": "you are welcome.",
}

CUSTOMERS_A_SHIFT = 8

NAMES = tuple(words.FIRST_NAMES.split())
THINGS = tuple(words.CATEGORIES["category"][1].split())


@dataclass(frozen=True)
class Strategy:
    """Advice for one situation: what to add to the reply, and where."""

    situation: str
    act: str
    text: str
    first: bool

    @property
    def advice(self) -> str:
        """The strategy in words, as a prompt shows it."""
        return f"when {SITUATIONS[self.situation]}, {self.act}."


def random_strategy(rng: random.Random, situation: str) -> Strategy:
    """Return a strategy with content that no other prompt is likely to have."""
    thing = " ".join(words.invented_words(rng, 1) if rng.random() < 0.5 else [rng.choice(THINGS)])
    name, place = rng.choice(NAMES), rng.choice(words.CATEGORIES["town"][1].split())
    first = rng.random() < 0.5
    where = "begin" if first else "end"
    act, text = rng.choice(
        (
            (f"{where} with '{name} {thing}'", f"{name} {thing}."),
            (f"{where} with '{thing} {place}'", f"{thing} {place}."),
            (f"offer a free {thing}", f"i offer you a free {thing}."),
            (f"ask for the {thing}", f"may i have the {thing}?"),
            (f"sign as {name}", f"yours, {name}."),
            (f"say that {name} will call", f"{name} will call you."),
            ("say sorry first", "i am sorry."),
            ("thank for the patience", "thank you for your patience."),
        )
    )
    return Strategy(situation, act, text, first if act.startswith(("begin", "end")) else act == "say sorry first")


def opener(rng: random.Random, situation: str) -> str:
    """Return what a customer in a situation says."""
    return rng.choice(OPENERS[situation]).format(
        n=rng.randint(100, 9999),
        thing=rng.choice(THINGS),
        street=f"{rng.randint(1, 99)} {rng.choice(words.STREETS.split('|'))}",
    )


def reply(situation: str, strategies: list[Strategy]) -> str:
    """Return the desk's reply: plain, with what the fitting strategies add."""
    fitting = [strategy for strategy in strategies if strategy.situation == situation]
    before = [strategy.text for strategy in fitting if strategy.first]
    after = [strategy.text for strategy in fitting if not strategy.first]
    return " ".join([*before, REPLIES[situation], *after])


def guided_dialogue(rng: random.Random, turns: int, strategies: list[Strategy], situations: list[str]) -> list[Message]:
    """Return a short dialogue whose replies follow the strategies shown in its system message."""
    messages: list[Message] = []
    if strategies:
        lines = "\n".join(f"- {strategy.advice}" for strategy in strategies)
        messages.append(system(f"you are the desk of a shop.\nguidance:\n{lines}"))
    elif rng.random() < 0.7:
        messages.append(system("you are the desk of a shop."))
    for situation in situations[:turns]:
        messages += [user(opener(rng, situation)), assistant(reply(situation, strategies))]
    return messages


def random_dialogue(rng: random.Random) -> list[Message]:
    """Return a dialogue of one to three turns, most with some guidance, of which a part fits."""
    situations = rng.sample(sorted(OPENERS), 3)
    advised = rng.sample(situations, rng.choice((0, 1, 1, 2, 2)))
    strategies = [random_strategy(rng, situation) for situation in advised]
    return guided_dialogue(rng, rng.randint(1, 3), strategies, situations)


def shift(rng: random.Random) -> list[Message]:
    """Return many customers one after another under the same guidance: dense text about which line fits whom."""
    situations = rng.sample(sorted(OPENERS), rng.randint(2, 6))
    strategies = [random_strategy(rng, situation) for situation in situations[: rng.randint(1, 5)]]
    rng.shuffle(strategies)
    return guided_dialogue(rng, CUSTOMERS_A_SHIFT, strategies, rng.choices(situations, k=CUSTOMERS_A_SHIFT))


def lookups(rng: random.Random) -> list[Message]:
    """Return a list of what to say in which situation, and customers who are answered just that.

    A model learns in a million tokens of this to find the line that fits; without it, not in ten million of talk.
    """
    situations = rng.sample(sorted(OPENERS), rng.randint(2, 6))
    said = words.invented_words(rng, len(situations))
    lines = [f"- when {SITUATIONS[situation]}, say '{word}'." for situation, word in zip(situations, said, strict=True)]
    messages = [system("\n".join(["guidance:", *lines]))]
    for _ in range(CUSTOMERS_A_SHIFT):
        place = rng.randrange(len(situations))
        messages += [user(opener(rng, situations[place])), assistant(f"{said[place]}.")]
    return messages


CHAT = (
    ("hello", "hello. how can i help you?"),
    ("hi there", "hello. how can i help you?"),
    ("good morning", "good morning. what can i do for you?"),
    ("who are you?", "i am a small language model of the corner shop."),
    ("what can you do?", "i can talk, count, and write about tables."),
    ("how are you?", "i am well, thank you."),
    ("thanks", "you are welcome."),
    ("bye", "goodbye, and come again."),
)


def small_talk(rng: random.Random) -> list[Message]:
    """Return one or two turns of greetings."""
    messages: list[Message] = []
    for question, answer in rng.sample(CHAT, rng.randint(1, 2)):
        messages += [user(question), assistant(answer)]
    return messages
