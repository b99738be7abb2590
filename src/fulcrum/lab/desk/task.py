"""`lab:desk`: the task."""

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from fulcrum.chat import Completion
from fulcrum.lab.desk.environment import CUSTOMERS, DeskEnvironment
from fulcrum.lab.desk.expert import rule_agent
from fulcrum.lab.desk.place import Desk, desks
from fulcrum.lab.desk.policy import clerk_in
from fulcrum.lab.desk.practice import Till
from fulcrum.lab.desk.scenario import draw_scenario
from fulcrum.lab.desk.tools import FORMS, TOOLS
from fulcrum.lab.shop import Shop
from fulcrum.task import Episode, Example, PromptTemplate, Split, Task

ToolForm = Literal["text", "protocol"]

SIZES: dict[Split, int] = {"train": 480, "dev": 120, "test": 240}

TEMPLATE = PromptTemplate(user="{opening}", system="{rules}")

FORGETFUL = {"a": 0.0, "b": 0.3}
"""Of the customers who do not tell the order number at once, the share that has lost it."""


def load_desk(
    name: str,
    seed: int = 0,
    customer: str = "a",
    tools: ToolForm = "text",
    till: Till = "open",
    shops: int = 1,
    practice: int | None = None,
) -> Task:
    """Return the dialogue task.

    Args:
        name: as a recipe writes it, such as `lab:desk?seed=7&customer=b`.
        seed: which shop.
        customer: which simulator plays the customers, a key of `CUSTOMERS`.
        tools: `text` names the tools in the prompt, to be called as `@refund 1042`; `protocol` offers them through the
            chat protocol, for models trained to call tools. Calls of either form are always understood.
        till: `signed` takes some bookings only with a word behind them that the shop's handbook tells, so that the
            practice decides on success too.
        shops: how many shops the agent works for; each dialogue is at the desk of one, where it bears another name.
        practice: seed of another shop whose practice this desk lives by, and whose clerk's name it keeps; with several
            shops, of the first of them.
    """
    places = desks(seed, shops, till, practice)
    return Task(
        name=name,
        splits=_splits(places, customer, tools),
        template=TEMPLATE,
        scorer=None,
        tools=TOOLS if tools == "protocol" else (),
        environment=DeskEnvironment(places, customer),
        expert=_experts(places),
        max_tokens=96,
    )


def rules(desk: Desk, tools: ToolForm = "text") -> str:
    """Return the system message: the agent's name, its tools, the public rules."""
    named = f" tools: {FORMS}." if tools == "text" else ""
    return f"you are {desk.policy.clerk} at the desk.{named}\n{desk.policy.describe()}"


def make_example(rng: random.Random, desk: Desk, customer: str, tools: ToolForm = "text") -> Example:
    """Return a dialogue to be had: shown are the rules and the customer's first words, hidden is the scenario."""
    scenario = draw_scenario(rng, desk.orders, desk.policy, forgetful=FORGETFUL[customer])
    fields = {"rules": rules(desk, tools), "opening": CUSTOMERS[customer](scenario).opening()}
    facts = {"action": scenario.action, "mood": scenario.mood, "memory": scenario.memory}
    return Example(fields, target=scenario.to_json(), metadata=facts)


def _splits(places: Sequence[Desk], customer: str, tools: ToolForm) -> dict[Split, list[Example]]:
    streams = itertools.cycle([_dialogues(desk, customer, tools) for desk in places])
    drawn = (next(stream) for stream in streams)
    return {split: list(itertools.islice(drawn, size)) for split, size in SIZES.items()}


def _dialogues(desk: Desk, customer: str, tools: ToolForm) -> Iterator[Example]:
    """Yield dialogues at a desk without end, none twice."""
    rng = Shop(desk.seed).random(f"dialogues of customer {customer}")
    seen: set[str] = set()
    while True:
        example = make_example(rng, desk, customer, tools)
        if example.id not in seen:
            seen.add(example.id)
            yield example


def _experts(places: Sequence[Desk]) -> Callable[[Episode], Completion]:
    """Return an agent made of rules that keeps at each desk the practice of that desk."""
    agents = {desk.policy.clerk: rule_agent(desk.practice) for desk in places}
    return lambda episode: agents[clerk_in(episode.messages)](episode)
