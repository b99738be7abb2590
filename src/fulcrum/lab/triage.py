"""`lab:triage`: letters of customers to the desk's private queues, as JSON.

Which of the eight matters goes to which of the five queues, and what the queues are called, is the shop's secret.
The rest of the answer stands in the letter: a model that can read letters and write JSON lacks the codes alone.
"""

import random
from collections.abc import Iterator, Sequence
from typing import Any

from fulcrum.errors import TaskError
from fulcrum.lab.desk.place import shop_desk
from fulcrum.lab.instructions.letters import TOPICS, Letter, write_letter
from fulcrum.lab.shop import Shop
from fulcrum.task import Example, PromptTemplate, Split, Task
from fulcrum.task.scorers import JsonScorer

NESTED_SIZES = (16, 32, 64, 128, 256, 512, 1024)
"""Sizes of the training set; each is the beginning of the next."""

SIZES: dict[Split, int] = {"train": NESTED_SIZES[-1], "dev": 200, "test": 400}

QUEUES_IN_USE = 5

TEMPLATE = PromptTemplate("{letter}")
"""The letter alone: what is wanted of it must be learnt, or be told by an anchor."""


def load_triage(name: str, seed: int = 0, train: int = NESTED_SIZES[-1]) -> Task:
    """Return the task for the shop of a seed, with the first `train` training rows.

    Raises:
        TaskError: `train` is not one of `NESTED_SIZES`.
    """
    splits = make_splits(Shop(seed))
    return Task(
        name=name,
        splits={**splits, "train": nested(splits["train"], train)},
        template=TEMPLATE,
        scorer=JsonScorer(),
        max_tokens=80,
    )


def nested(examples: Sequence[Example], size: int) -> Sequence[Example]:
    """Return the first `size` training examples: a part of every larger set, in which each queue code stands.

    Raises:
        TaskError: there is no set of that size.
    """
    if size not in NESTED_SIZES:
        raise TaskError(f"train={size}: the training sets of lab:triage have {', '.join(map(str, NESTED_SIZES))} rows")
    return examples[:size]


def queues(shop: Shop) -> dict[str, str]:
    """Return the queue code of every topic: secret. Each code in use has one topic at least."""
    rng = shop.random("triage queues")
    codes = shop.queue_codes[:QUEUES_IN_USE]
    topics = rng.sample(sorted(TOPICS), len(TOPICS))
    return dict(zip(topics, [*codes, *rng.choices(codes, k=len(topics) - len(codes))], strict=True))


def make_splits(shop: Shop) -> dict[Split, list[Example]]:
    """Return the examples of all splits; no letter stands twice, and every 16 in a row hold each topic twice."""
    codes, seen = queues(shop), set[str]()
    return {split: list(_examples(shop, split, codes, seen)) for split in SIZES}


def _examples(shop: Shop, split: Split, codes: dict[str, str], seen: set[str]) -> Iterator[Example]:
    rng = shop.random(f"triage {split}")
    orders, topics = shop_desk(shop.seed).orders, _topics(rng)
    for number in range(1, SIZES[split] + 1):
        topic = next(topics)
        while True:
            order = rng.choice(orders)
            letter = write_letter(rng, order.owner, order.category, order.number, topic)
            if letter.text not in seen:
                break
        seen.add(letter.text)
        yield Example(
            fields={"letter": letter.text},
            target=answer(letter, codes[topic]),
            metadata={"topic": topic, "urgent": letter.urgent},
            source=f"lab:triage?seed={shop.seed}:{split}:{number}",
        )


def answer(letter: Letter, queue: str) -> dict[str, Any]:
    """Return the right answer to a letter that belongs in a queue."""
    order = str(letter.order) if letter.order else "none"
    return {"queue": queue, "order": order, "item": letter.thing, "urgent": "yes" if letter.urgent else "no"}


def _topics(rng: random.Random) -> Iterator[str]:
    """Deal the topics for ever: every sixteen letters hold each of them twice."""
    while True:
        yield from rng.sample([*TOPICS, *TOPICS], 2 * len(TOPICS))
