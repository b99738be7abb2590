"""Which supplements to try for a question, in which order, and when to stop."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fulcrum.hashing import seed_from
from fulcrum.supplement.bench import Bench, Wish
from fulcrum.supplement.forms import CONCAT, FORMS, FREE, OWN, Supplement, concatenate
from fulcrum.supplement.labels import Alone, Option, Rule
from fulcrum.supplement.settings import SupplementSettings
from fulcrum.supplement.trials import State, Trial, asked_about
from fulcrum.supplement.writer import SupplementWriter

PATIENCE = 2
"""How many times the fixed schedule's drafts a hard question may have at most."""


@dataclass(frozen=True, slots=True)
class Pool:
    """The drafts that a question may have, in their order.

    Attributes:
        asked: requests, repeated from the start when they are used up.
        size: drafts of the fixed schedule.
        wave: drafts that the adaptive schedule tries before it looks again.
        losers_wanted: a question also needs losers before it is left: preferences have them, what is imitated has not.
    """

    asked: Sequence[str]
    size: int
    wave: int
    losers_wanted: bool


def warm_start_pool(settings: SupplementSettings) -> Pool:
    """Return the paper's nine forms, `samples` times each."""
    asked = (*FORMS, FREE)
    return Pool(asked, len(asked) * settings.samples, len(asked), losers_wanted=False)


def round_pool(settings: SupplementSettings, number: int) -> Pool:
    """Return the pool of a round: forms, own forms and concatenations in the first, free ones in the others."""
    losers_wanted = settings.trainer != "sft"
    if number > 1:
        return Pool((FREE,), settings.pool, max(1, settings.pool // 4), losers_wanted)
    asked = (*FORMS, *[OWN] * settings.own_forms, *[CONCAT] * settings.concats)
    return Pool(asked, len(asked), max(1, len(asked) // 2), losers_wanted)


def allowance(pool: Pool, settings: SupplementSettings, questions: int) -> int:
    """Return the attempts of the actor that a pool may take; in a dialogue each is several calls.

    The adaptive schedule gives every pool the same. The fixed one spends most where least is hit: before the warm start
    the generator knows nothing, and after it most drafts help.
    """
    if settings.schedule == "fixed":
        return pool.size * settings.label_samples * questions
    pools = [warm_start_pool(settings), *(round_pool(settings, number) for number in range(1, settings.rounds + 1))]
    drafts = sum(one.size for one in pools) / len(pools)
    return int(settings.spend * drafts * settings.label_samples * questions)


def questions_to_try(settings: SupplementSettings, alone: Alone, seed: int, *, harm: bool = True) -> list[str]:
    """Return the questions worth calls: all of them, or all that the actor does not solve alone and some that it does.

    Those that it solves show harm, and nothing else can be learned from them: without `harm` they are left out.
    """
    if settings.schedule == "fixed" or settings.labels == "binary":
        return list(alone)
    solved = [query for query, value in alone.items() if value >= 1.0]
    share = settings.solved_share if harm else 0.0
    some = round((len(alone) - len(solved)) * share / (1 - share))
    kept = set(random.Random(seed_from(seed, "solved alone")).sample(solved, min(some, len(solved))))
    return [query for query, value in alone.items() if value < 1.0 or query in kept]


def collect(
    bench: Bench,
    writer: SupplementWriter,
    pool: Pool,
    alone: Alone,
    settings: SupplementSettings,
    rule: Rule,
    winners: Mapping[str, Sequence[Supplement]],
    fits: Callable[[Supplement], bool],
    seed: int,
) -> list[Trial]:
    """Try the supplements of a pool.

    Args:
        bench: where to try them.
        writer: the generator.
        pool: what to ask it for.
        alone: the actor's scores without help.
        settings: schedule and limits.
        rule: tells winners from losers.
        winners: supplements that helped before, by question, to be concatenated.
        fits: whether the generator could write a concatenation: no other may be learned from.
        seed: of the choice of questions and concatenations.
    """
    adaptive = settings.schedule == "adaptive"
    asking = questions_to_try(settings, alone, seed, harm=pool.losers_wanted)
    allowed = allowance(pool, settings, len(alone))
    last, step = (PATIENCE * pool.size, pool.wave) if adaptive else (pool.size, pool.size)
    trials: list[Trial] = []
    for start in range(0, last, step):
        if adaptive:
            done = _settled(rule, rule.options(trials, alone), winners, settings.enough, pool.losers_wanted)
            asking = [query for query in asking if not done(query) and (not start or alone[query] < 1.0)]
        places = range(start, min(start + step, last))
        drafts = [(query, place) for place in places for query in asking]
        wishes = [wish for draft in drafts if (wish := _wish(pool, *draft, winners, fits, seed))]
        room = allowed // settings.label_samples - len(asked_about(trials))
        if room <= 0:
            break
        trials += bench.play(wishes[:room] if adaptive else wishes, writer)
    return trials


def _wish(
    pool: Pool,
    query: str,
    place: int,
    winners: Mapping[str, Sequence[Supplement]],
    fits: Callable[[Supplement], bool],
    seed: int,
) -> Wish | None:
    """Return what draft number `place` of a question asks for; None if there is nothing to concatenate."""
    # Each question in an order of its own: a round's first wave holds half of the requests, and may be its last.
    order = random.Random(seed_from(seed, "order", query)).sample(pool.asked, len(pool.asked))
    asked = order[place % len(order)]
    if asked != CONCAT:
        return Wish(query, asked, sample=place)
    rng = random.Random(seed_from(seed, CONCAT, query, place))
    known = winners.get(query, ())
    pairs = [(first, second) for first in known for second in known if first.form != second.form]
    while pairs:
        joined = concatenate(*pairs.pop(rng.randrange(len(pairs))))
        if fits(joined):
            return Wish(query, asked, given=joined)
    return None


def _settled(
    rule: Rule,
    found: Mapping[State, Sequence[Option]],
    before: Mapping[str, Sequence[Supplement]],
    enough: int,
    losers_wanted: bool,
) -> Callable[[str], bool]:
    """Return whether a question has shown what it can teach.

    What is imitated is kept from earlier rounds; preferences are between supplements of one generator.
    """

    def done(query: str) -> bool:
        helping, losing = rule.signs(found.get((query, ()), ()))
        if losers_wanted:
            return helping >= enough and losing >= enough
        return helping + len(before.get(query, ())) >= enough

    return done
