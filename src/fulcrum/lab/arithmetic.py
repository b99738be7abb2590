r"""`lab:arithmetic`: the sums `a+b*c+d-e*f` of the multiagent finetuning paper, integers 0..29, answer in `\boxed{}`.

The training split is meant to be used without its targets: they are there so that pseudo-labels can be measured.
"""

import itertools
import random
from collections.abc import Iterator

from fulcrum.hashing import seed_from
from fulcrum.lab.arithmetic_text import expression, random_sum, value
from fulcrum.lab.prompts import ARITHMETIC_PROMPT
from fulcrum.task import SPLITS, Example, PromptTemplate, Split, Task
from fulcrum.task.scorers import NumberScorer

SIZES: dict[Split, int] = {"train": 500, "dev": 150, "test": 500}


def load_arithmetic(name: str, seed: int) -> Task:
    """Return the task; another seed has other sums."""
    stream = _distinct(random.Random(seed_from("arithmetic", seed)), set())
    return Task(
        name=name,
        splits={split: list(itertools.islice(stream, SIZES[split])) for split in SPLITS},
        template=PromptTemplate(ARITHMETIC_PROMPT),
        scorer=NumberScorer(),
        max_tokens=128,
    )


def fresh(count: int, seed: int, task: Task) -> list[Example]:
    """Return sums that stand in no split of `task`; `seed` tells one iteration's from another's."""
    known = {example.fields["expression"] for examples in task.splits.values() for example in examples}
    return list(itertools.islice(_distinct(random.Random(seed_from("fresh sums", seed)), known), count))


def _distinct(rng: random.Random, seen: set[str]) -> Iterator[Example]:
    """Yield sums without end, none twice and none of `seen`."""
    while True:
        numbers = random_sum(rng)
        text = expression(numbers)
        if text not in seen:
            seen.add(text)
            yield Example(fields={"expression": text}, target=value(numbers), source=f"lab:arithmetic:{text}")
