"""Training text for checkpoints that talk at a desk: random worlds, random practice, replies that follow the prompt.

A model learns from it to do what the guidance in its prompt says and nothing of it unprompted, and to put into words
what one reply has and another lacks. Which habits a shop lives by is in none of it: worlds have seeds of 1,000 and up,
and every habit is advised as often as any other.
"""

import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import get_args

from fulcrum.chat import Completion, Message, assistant, system, user
from fulcrum.hashing import seed_from
from fulcrum.lab import words
from fulcrum.lab.desk.environment import CUSTOMERS, DeskEpisode
from fulcrum.lab.desk.expert import reply
from fulcrum.lab.desk.place import Desk
from fulcrum.lab.desk.policy import Order, Reason
from fulcrum.lab.desk.practice import HABITS, PARAPHRASES
from fulcrum.lab.desk.scenario import Scenario
from fulcrum.lab.desk.task import TEMPLATE, make_example
from fulcrum.lab.desk.till import word_behind
from fulcrum.lab.desk.tools import ECHO, describe
from fulcrum.lab.prompts import GUIDANCE
from fulcrum.lab.shop import BOOKINGS, BOOKINGS_OF_A_SHOP, PRACTICES, PRACTICES_OF_A_SHOP, WORLD_SEEDS
from fulcrum.task import Question

Row = tuple[tuple[Message, ...], str]
"""A conversation in which the agent speaks next, and what it says."""

COMPARE = "you teach at the desk. write one strategy that names what my reply has and their reply lacks."
"""What a teacher is asked for."""

SAME = "no difference."
"""What a teacher says of two replies that follow the same habits."""

_ADVISED = {0: 3, 1: 4, 2: 3, 3: 3, 5: 1, 8: 2}
"""How many habits a prompt advises, with weights."""

_ADVISED_A_TURN = {0: 1, 1: 5, 2: 4, 3: 2, 5: 1}
"""The same, where a text is about one reply."""

_TILL_ADVISED = 0.4
"""Share of prompts that surely say what a till wants: it shows in one word of a dialogue, and decides on success."""

_CUSTOMERS_A_SHIFT = 2

_RULINGS = (*get_args(Reason), "none")

_WORLDS = 400
FIRST_HELD_OUT_WORLD = WORLD_SEEDS + _WORLDS
"""No training text is about a world of this seed or a larger one."""

_LOOKED_UP_ANEW = 0.5
"""Share of turns whose guidance is not that of the turns before: a library is looked up anew at every turn."""


def with_guidance(messages: Sequence[Message], lines: Sequence[str]) -> tuple[Message, ...]:
    """Return a dialogue with guidance at the end of its system message."""
    if not lines:
        return tuple(messages)
    first, *others = messages
    text = "\n".join([first.content, GUIDANCE, *(f"- {line}" for line in lines)])
    return (replace(first, content=text), *others)


def without_guidance(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Return a dialogue without the guidance that `with_guidance` added."""
    first, *others = messages
    return (replace(first, content=first.content.partition(f"\n{GUIDANCE}")[0]), *others)


def desk_dialogues(world_seed: int, practices: Collection[str] | None, n: int) -> Iterator[Row]:
    """Yield `n` turns of dialogues at the desk of one random world.

    Args:
        world_seed: 1,000 or more.
        practices: ids of the habits that every prompt advises, as a handbook does; None draws others for each
            dialogue, and others again for about half of the turns.
        n: how many turns.

    Raises:
        TaskError: the seed is that of a shop.
    """
    rng = random.Random(seed_from("desk dialogues", world_seed))
    desk, made = _world(world_seed), 0
    while made < n:
        episode = _open(rng, desk)
        advice = _Advice.draw(rng, practices)
        while not episode.done and made < n:
            if practices is None and rng.random() < _LOOKED_UP_ANEW:
                advice = _Advice.draw(rng, practices)
            said = advice.follow(episode.messages)
            yield with_guidance(episode.messages, advice.lines), said
            made += 1
            episode.step(Completion(said))


def fitting_lines(messages: Sequence[Message], said: str) -> int:
    """Return how many lines of the guidance in a prompt change the reply `said`, each taken away on its own."""
    lines = [line.removeprefix("- ") for line in messages[0].content.partition(f"\n{GUIDANCE}\n")[2].split("\n")]
    habits = {habit for habit in HABITS if {HABITS[habit].advice, *PARAPHRASES[habit]} & set(lines)}
    bare = without_guidance(messages)
    whole = reply(bare, habits)
    return sum(reply(bare, habits - {habit}) != whole for habit in habits) + (said != whole)


def guided_dialogue(rng: random.Random, practices: Collection[str] | None = None) -> list[Message]:
    """Return a whole dialogue in a random world, whose every reply follows the guidance in its system message."""
    episode = _open(rng, _any_world(rng))
    advice = _Advice.draw(rng, practices)
    while not episode.done:
        episode.step(Completion(advice.follow(episode.messages)))
    # The customer's farewell asks for no reply.
    return list(with_guidance(episode.messages[:-1], advice.lines))


def guided_turn(rng: random.Random) -> list[Message]:
    """Return a dialogue up to one reply that its guidance changes, or any reply where there is no guidance.

    The tools are left out of the prompt, and so are the rules until an order has been looked up: most of such a text
    is about the guidance, and it is learnt from far less of it than from whole dialogues.
    """
    while True:
        episode = _open(rng, _any_world(rng))
        advice = _Advice.draw(rng, None, _ADVISED_A_TURN)
        turns: list[list[Message]] = []
        while not episode.done:
            said, alone = advice.follow(episode.messages), reply(episode.messages, ())
            if said != alone or not advice.lines:
                shown = with_guidance(without_tools(episode.messages), advice.lines)
                turns.append([*shown, assistant(said)])
            episode.step(Completion(said))
        if turns:
            return turns[0] if rng.random() < 0.5 else rng.choice(turns)


def handbook_dialogue(rng: random.Random) -> list[Message]:
    """Return a `guided_dialogue` whose guidance is the handbook of a desk: all the habits it lives by."""
    return guided_dialogue(rng, _handbook(rng))


def handbook_shift(rng: random.Random) -> list[Message]:
    """Return a `guided_shift` whose guidance is the handbook of a desk."""
    return guided_shift(rng, _handbook(rng))


def _handbook(rng: random.Random) -> list[str]:
    """Return the habits that a desk lives by, half of the time with those of a signed till."""
    bookings = rng.sample(BOOKINGS, BOOKINGS_OF_A_SHOP) if rng.random() < 0.5 else []
    return [*rng.sample(PRACTICES, PRACTICES_OF_A_SHOP), *bookings]


def guided_shift(rng: random.Random, practices: Collection[str] | None = None) -> list[Message]:
    """Return some customers of one desk, one after another, all answered by the same guidance; the tools left out.

    No agent works like that. But there are nearly twice as many replies to the token as in whole dialogues, and each
    asks again which lines of the guidance fit: that is what a model learns to tell apart from such text in minutes.
    """
    desk = _any_world(rng)
    advice = _Advice.draw(rng, practices, _ADVISED_A_TURN)
    turns: list[Message] = []
    for _ in range(_CUSTOMERS_A_SHIFT):
        episode = _open(rng, desk)
        while not episode.done:
            episode.step(Completion(advice.follow(episode.messages)))
        # The customer's farewell asks for no reply.
        first, *others = with_guidance(without_tools(episode.messages[:-1]), advice.lines)
        turns += [first, *others] if not turns else others
    return turns


def ruling_lookups(rng: random.Random) -> list[Message]:
    """Return the rules of a desk, and of many customers with their orders which rule stands against them, if one does.

    Each is as likely. In dialogues most of a reply can be right without, and what a desk may do is hardly learnt there.
    Mostly the wish is said in a word, so that many cases stand together, else in those of customers.
    """
    desk = _any_world(rng)
    brief = rng.random() < 0.7
    turns: list[Message] = []
    for _ in range(8 if brief else 4):
        ruling = rng.choice(_RULINGS)
        opening, asked, order = _case(rng, desk, ruling)
        said = f"{asked.action if brief else opening}\n{ECHO} {describe(order, desk.policy, asked.name)}"
        turns += [user(said if turns else f"{desk.policy.describe()}\n{said}"), assistant(f"{ruling}.")]
    return turns


def booking_lookups(rng: random.Random) -> list[Message]:
    """Return what a till wants, and many orders that are booked, each with the word that belongs behind its number.

    In dialogues that is one word in a hundred, and most tills want none.
    """
    desk = _any_world(rng)
    bookings = rng.sample(BOOKINGS, rng.randint(1, len(BOOKINGS)))
    lines = [_worded(rng, id) for id in bookings]
    turns: list[Message] = [system(f"you are {desk.policy.clerk} at the desk.")]
    for _ in range(10):
        order, tool = rng.choice(desk.orders), rng.choice(("refund", "exchange", "cancel", "escalate"))
        word = word_behind(tool, bookings, order, desk.policy.clerk)
        said = f"{ECHO} {describe(order, desk.policy, order.owner)}\n{tool}"
        turns += [user(said), assistant(f"@{tool} {order.number} {word}".rstrip())]
    return list(with_guidance(turns, lines))


def _case(rng: random.Random, desk: Desk, ruling: str) -> tuple[str, Scenario, Order]:
    """Return a customer's first words, what is behind them, and the order in question, of which a rule says that."""
    orders = {order.number: order for order in desk.orders}
    while True:
        example = make_example(rng, desk, rng.choice(sorted(CUSTOMERS)))
        asked = Scenario(**example.target)
        order = orders[asked.order]
        if (desk.policy.objection(order, asked.action, asked.name) or "none") == ruling:
            return example.fields["opening"], asked, order


def without_tools(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Return a dialogue without the tools in its prompt, and without the rules until an order has been looked up."""
    first, *others = messages
    clerk, _, policy = first.content.partition("\n")
    looked_up = any(message.content.startswith("[desk]") for message in others)
    text = clerk.partition(" tools:")[0]
    return (replace(first, content=f"{text}\n{policy}" if looked_up else text), *others)


def strategy_writing(world_seed: int, n: int) -> Iterator[Row]:
    """Yield `n` comparisons of two replies in one random world, and the strategy that names their first difference.

    The first difference is that of the habit whose loss would change the first reply at the earliest place.

    Raises:
        TaskError: the seed is that of a shop.
    """
    rng = random.Random(seed_from("strategy writing", world_seed))
    desk, made = _world(world_seed), 0
    while made < n:
        episode = _open(rng, desk)
        while not episode.done and made < n:
            mine, theirs, strategy = _compared(rng, episode.messages)
            # Most turns show no difference; a few of them are enough to learn to say so.
            if strategy is not None and (strategy != SAME or rng.random() < 0.05):
                yield strategy_request(episode.messages, mine, theirs), strategy
                made += 1
            episode.step(Completion(mine))


def _compared(rng: random.Random, messages: Sequence[Message]) -> tuple[str, str, str | None]:
    """Return two replies that keep other habits, and the strategy that names their first difference, if one does."""
    own = rng.sample(tuple(HABITS), rng.choice((2, 4, 8)))
    lost = own[: rng.choice((0, 1, 1, 1, 2, 2, 2))]
    mine, theirs = (reply(messages, habits) for habits in (own, own[len(lost) :]))
    if mine == theirs:
        return mine, theirs, SAME
    habit = _first_difference(messages, own, lost)
    return mine, theirs, HABITS[habit].advice if habit else None


def strategy_request(messages: Sequence[Message], mine: str, theirs: str) -> tuple[Message, ...]:
    """Return the prompt that asks a teacher for the strategy by which its reply differs from a student's."""
    names = {"user": "customer", "assistant": "agent", "tool": "customer"}
    said = [f"{names[message.role]}: {message.content}" for message in messages if message.role != "system"]
    return system(COMPARE), user("\n".join([*said, _pair(mine, theirs)]))


def _pair(mine: str, theirs: str) -> str:
    return f"mine: {mine}\ntheirs: {theirs}"


def comparisons(rng: random.Random) -> list[Message]:
    """Return several pairs of replies to the same dialogue, each with its strategy: as `comparison`, but denser."""
    while True:
        episode = _open(rng, _any_world(rng))
        for _ in range(rng.choice((0, 0, 1, 2, 3))):
            if not episode.done:
                episode.step(Completion(reply(episode.messages, rng.sample(tuple(HABITS), 4))))
        if episode.done:
            continue
        turns: list[Message] = []
        for _ in range(24):
            mine, theirs, strategy = _compared(rng, episode.messages)
            if strategy is None or (strategy == SAME and rng.random() < 0.95):
                continue
            asked = strategy_request(episode.messages, mine, theirs)
            turns += [user(_pair(mine, theirs)) if turns else asked[1], assistant(strategy)]
            if len(turns) >= 12:
                break
        if turns:
            return [system(COMPARE), *turns]


def comparison(rng: random.Random) -> list[Message]:
    """Return one comparison of replies with its strategy, as a conversation."""
    seed = rng.randrange(WORLD_SEEDS, WORLD_SEEDS + _WORLDS)
    *_, (prompt, strategy) = strategy_writing(seed, rng.randint(1, 4))
    return [*prompt, assistant(strategy)]


class _Advice:
    """Guidance in a prompt, and how to follow it.

    Attributes:
        lines: what the prompt says.
    """

    def __init__(self, habits: Sequence[str], lines: Sequence[str], first: str = "", last: str = "") -> None:
        self._habits, self.lines, self._first, self._last = habits, lines, first, last

    @classmethod
    def draw(
        cls, rng: random.Random, practices: Collection[str] | None, advised: Mapping[int, int] = _ADVISED
    ) -> "_Advice":
        """Return guidance on random habits in random words, or on given ones in the words of a handbook."""
        if practices is not None:
            return cls(tuple(practices), [HABITS[id].advice for id in practices])
        habits = rng.sample(tuple(HABITS), rng.choices(list(advised), list(advised.values()))[0])
        if rng.random() < _TILL_ADVISED:
            habits = list(dict.fromkeys([*habits, *rng.sample(BOOKINGS, BOOKINGS_OF_A_SHOP)]))
        lines = [_worded(rng, id) for id in habits]
        first = last = ""
        # Some advice is about nothing that any desk does, so that a model must read it to follow it.
        if len(habits) < 4 and rng.random() < 0.2:
            word = words.invented_word(rng)
            if rng.random() < 0.5:
                first = f"{word}."
                lines.append(f"when you speak, begin with '{word}'.")
            else:
                last = f"{word}."
                lines.append(f"when you speak, end with '{word}'.")
        rng.shuffle(lines)
        return cls(habits, lines, first, last)

    def follow(self, messages: Sequence[Message]) -> str:
        """Return the reply of an agent that does what the guidance says."""
        said = reply(messages, self._habits)
        spoken, sign, call = said.partition("@")
        if not spoken.strip():
            return said
        parts = [self._first, spoken.strip(), self._last, f"{sign}{call}"]
        return " ".join(part for part in parts if part)


@lru_cache(maxsize=_WORLDS)
def _world(seed: int) -> Desk:
    """Return the desk of a world; every other till wants some bookings signed, as that of a shop may."""
    desk = Desk.random_world(seed)
    bookings = random.Random(seed_from("till", seed)).sample(BOOKINGS, BOOKINGS_OF_A_SHOP) if seed % 2 else ()
    return replace(desk, practice=(*desk.practice, *bookings))


def _any_world(rng: random.Random) -> Desk:
    return _world(rng.randrange(WORLD_SEEDS, WORLD_SEEDS + _WORLDS))


def _worded(rng: random.Random, habit: str) -> str:
    """Return a habit as a line of guidance, in the words of a handbook or in others."""
    return rng.choice((HABITS[habit].advice, *PARAPHRASES[habit]))


def _open(rng: random.Random, desk: Desk) -> DeskEpisode:
    customer = rng.choice(sorted(CUSTOMERS))
    example = make_example(rng, desk, customer)
    question = Question(example.id, TEMPLATE.messages(example.fields))
    return DeskEpisode(desk, CUSTOMERS[customer], Scenario(**example.target), question)


def _first_difference(messages: Sequence[Message], own: Collection[str], lost: Collection[str]) -> str | None:
    """Return the lost habit without which the reply differs at the earliest place; None if it stays the same."""
    mine = reply(messages, own)
    places: list[tuple[int, str]] = []
    for habit in sorted(lost):
        without = reply(messages, [other for other in own if other != habit])
        if without != mine:
            places.append((_shared_start(mine, without), habit))
    return min(places)[1] if places else None


def _shared_start(one: str, other: str) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (first, second) in pairs if first != second), min(len(one), len(other)))
