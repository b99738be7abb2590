"""Which drafts are worth a call."""

import random
import tracemalloc
from pathlib import Path

import pytest

from fulcrum.recipe import read_recipe
from fulcrum.runs import Run
from fulcrum.supplement import promise
from fulcrum.supplement.collector import Collector
from fulcrum.supplement.forms import NOTHING
from fulcrum.supplement.labels import Rule
from fulcrum.supplement.promise import Promise, Tried
from fulcrum.supplement.schedule import warm_start_pool
from fulcrum.supplement.settings import SupplementSettings
from fulcrum.supplement.writer import writer_of
from supplement.test_steps import alone_of, any_length, bench_for

QUESTIONS = {
    "sold": "how many soages were sold?",
    "town": "which town buys most soages?",
    "other": "who keeps roys at home?",
    "far": "when does this kettle boil?",
}
CHEAP, LARGE, DEAR = "soages are what costs below 20", "soages are what weighs above 9", "roys are what costs above 50"


def promised(*tried: Tried) -> dict[tuple[str, str], float]:
    drafts = [(query, note) for query in QUESTIONS for note in (CHEAP, LARGE, DEAR)]
    return dict(zip(drafts, Promise(QUESTIONS, [CHEAP, LARGE, DEAR]).of(tried, drafts), strict=True))


def test_what_helped_with_a_word_is_promising_wherever_the_word_is() -> None:
    worth = promised(Tried("sold", CHEAP, True), Tried("other", DEAR, False))
    assert worth["town", CHEAP] > worth["town", LARGE] > 0 > worth["other", DEAR]
    assert worth["town", CHEAP] > worth["other", CHEAP], "the question has another word"
    assert worth["far", DEAR] == 0, "nothing like it was tried"


def test_a_meaning_that_failed_for_a_word_is_not_tried_for_it_again() -> None:
    worth = promised(Tried("sold", LARGE, False), Tried("other", DEAR, True))
    assert worth["town", LARGE] < worth["town", CHEAP]


@pytest.mark.parametrize("helped", [True, False])
def test_where_all_trials_ended_alike_nothing_promises_more(helped: bool) -> None:
    assert set(promised(Tried("sold", CHEAP, helped), Tried("other", DEAR, helped)).values()) == {0.0}
    assert set(promised().values()) == {0.0}


def test_words_without_spaces_between_them_are_told_apart() -> None:
    questions = {"one": "红茶多少钱", "like": "红茶在哪里", "unlike": "面包在哪里"}
    judge = Promise(questions, ["红茶便宜", "面包便宜"])
    tried = [Tried("one", "红茶便宜", True), Tried("one", "面包便宜", False)]
    like, unlike = judge.of(tried, [("like", "红茶便宜"), ("unlike", "红茶便宜")])
    assert like > unlike


def test_only_the_latest_trials_are_learned_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promise, "LEARNT", 2)
    recent = (Tried("sold", LARGE, True), Tried("other", DEAR, False))
    assert promised(Tried("town", CHEAP, True), *recent) == promised(*recent)


def test_what_differs_by_a_rounding_is_alike() -> None:
    """Questions that differ only in a number; the sums of equal terms in another order differ in the last places."""
    questions = {str(number): f"{number} {['ax', 'bo', 'cy', 'du'][number % 4]}" for number in range(200)}
    notes = [f"{form} {colour} {how}" for form in "cpa" for colour in ("red", "blue") for how in ("sure", "so")]
    drafts = [(query, note) for query in questions for note in notes]
    tried = [Tried(query, note, place % 3 == 0) for place, (query, note) in enumerate(drafts[::7])]
    judge = Promise(questions, notes)
    ranks = [
        sorted(drafts, key=dict(zip(given, judge.of(known, given), strict=True)).__getitem__)
        for given, known in ((drafts, tried), (drafts[::-1], tried[::-1]))
    ]
    assert ranks[0] == ranks[1]


def test_many_drafts_fit_the_memory() -> None:
    rng = random.Random(0)
    notes = (" ".join(str(rng.randrange(9000)) for _ in range(100)) for _ in range(2000))
    tracemalloc.start()
    Promise(QUESTIONS, notes)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 45e6


def test_of_many_drafts_those_are_tried_that_promise_most(colours: Path, tmp_path: Path) -> None:
    """What colour a thing has is guessed at first, and known from the trials of other questions about it later."""
    with Run(tmp_path / "run", read_recipe(colours)) as run:
        settings = run.recipe.settings_as(SupplementSettings).model_copy(update={"spend": 0.3, "enough": 100})
        bench = bench_for(run, settings)
        alone = alone_of(run, bench)
        writer = writer_of(run.model("generator"), settings, 1.0)
        states = {query: [(query, ())] for query in alone}
        collector = Collector(bench, writer, settings, Rule(), alone, states, [], any_length, 0)
        trials = collector.collect(warm_start_pool(settings))
    paid = [trial for trial in trials if trial.written and trial.written[0].supplement != NOTHING]
    first, last = paid[: len(paid) // 4], paid[-len(paid) // 4 :]
    assert sum(trial.labels == [1.0] for trial in first) < 0.8 * len(first)
    assert sum(trial.labels == [1.0] for trial in last) > 0.9 * len(last)
