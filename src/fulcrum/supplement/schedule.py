"""What a pool asks the generator for, of which questions, and what the actor may be asked for it."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from fulcrum.hashing import seed_from
from fulcrum.supplement.forms import CONCAT, FORMS, FREE, OWN
from fulcrum.supplement.labels import Alone
from fulcrum.supplement.settings import SupplementSettings


@dataclass(frozen=True, slots=True)
class Pool:
    """The drafts that a question may have, in their order.

    Attributes:
        number: 0 for the warm start, and that of the round.
        asked: requests, repeated from the start when they are used up.
        size: how many are written.
        losers_wanted: a question also needs losers before it is left: preferences have them, what is imitated has not.
    """

    number: int
    asked: Sequence[str]
    size: int
    losers_wanted: bool


def warm_start_pool(settings: SupplementSettings) -> Pool:
    """Return the paper's nine forms, `samples` times each."""
    asked = (*FORMS, FREE)
    return Pool(0, asked, len(asked) * settings.samples, losers_wanted=False)


def round_pool(settings: SupplementSettings, number: int) -> Pool:
    """Return the pool of a round: forms, own forms and concatenations in the first, free ones in the others."""
    losers_wanted = settings.trainer != "sft"
    if number > 1:
        return Pool(number, (FREE,), settings.pool, losers_wanted)
    asked = (*FORMS, *[OWN] * settings.own_forms, *[CONCAT] * settings.concats)
    return Pool(number, asked, len(asked), losers_wanted)


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
