"""Trials: in which dialogues a strategy is tried, from where, and what they show."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from fulcrum.chat import Failure, Message, user
from fulcrum.strategies.dialogue import Job, State
from fulcrum.strategies.fold import Strategy
from fulcrum.strategies.records import Advice, Effect, Evidence
from fulcrum.strategies.retrieval import Retriever
from fulcrum.strategies.settings import RetrievalSettings
from fulcrum.strategies.trials import Candidate, Neighbours, Trial, Trials, measured, together
from fulcrum.strategies.wording import Situation
from fulcrum.strategies.words import EVERYWHERE
from fulcrum.task import Question, Score, failed


def test_what_hurts_the_neighbours_is_not_accepted_however_well_it_does_at_home() -> None:
    state = State(Question("q", (user("hi"),)), (), (user("hi"),))
    effect = Effect(measure="state", estimate=0.3, low=0.1, high=0.5, n=16, better=8)
    home = Trial(effect, 0.01, (state,) * 8, (), 8, 0, 0)
    assert home.accepted(0.05), "what is said of one situation may leave the others as they are"
    assert "0 of 8 neighbours better, 0 worse" in home.summary()
    for helped_near, hurt_near, accepted in ((0, 1, False), (1, 1, False), (2, 1, True)):
        both = effect.model_copy(update={"better": 8 + helped_near, "worse": hurt_near})
        trial = replace(home, effect=both, helped=(state,) * (8 + helped_near), hurt=(state,) * hurt_near)
        assert replace(trial, helped_near=helped_near, hurt_near=hurt_near).accepted(0.05) is accepted


def test_two_trials_that_show_little_may_show_enough_together() -> None:
    few = measured("state", [0.0] * 5, [0.6] * 5)
    trial = Trial(few, 0.0625, (), (), 0, 0, 0)
    assert not trial.accepted(0.05)
    both = trial.with_earlier(measured("state", [0.0] * 3 + [0.5], [0.2] * 3 + [0.4]))
    assert (both.effect.n, both.effect.better, both.effect.worse) == (9, 8, 1)
    assert both.effect.estimate == pytest.approx((5 * 0.6 + 3 * 0.2 - 0.1) / 9)
    assert both.p_value == pytest.approx(2 * 10 / 2**9) and both.accepted(0.05)
    assert both.effect.low < both.effect.estimate < both.effect.high
    nothing = measured("state", [], [])
    assert together(nothing, few) == together(few, nothing) == few


class Desks:
    """Situations of which the last word is the place."""

    def situation(self, messages: Sequence[Message]) -> Situation:
        return Situation("\n".join(message.content for message in messages), (), messages[-1].content.split()[-1])


def dialogue(number: int, *heard: str) -> list[State]:
    """Return the turns of a dialogue, one for each thing that the customer says."""
    said = [tuple(map(user, heard[: turn + 1])) for turn in range(len(heard))]
    return [State(Question(str(number), messages[:1]), (), messages) for messages in said]


def tried_in(
    advice: Advice,
    origins: Sequence[State],
    dialogues: Sequence[Sequence[State]],
    count: int,
    served: Sequence[Strategy] = (),
) -> list[list[tuple[str, int]]]:
    serving = Retriever(served, RetrievalSettings(threshold=0.5))
    neighbours = Neighbours([state for one in dialogues for state in one], cast(Any, Desks()), serving)
    found = neighbours.of(Strategy("s1", 1, advice, "proposed", Evidence()), advice, origins, count)
    return [[(state.question.id, len(state.messages)) for state in some] for some in found]


def test_a_strategy_is_tried_once_a_dialogue_from_where_it_would_be_served_first() -> None:
    dialogues = [dialogue(n, "hello at-kim", "so late at-kim", "and late again at-kim") for n in range(4)]
    quiet = [dialogue(n, "hello at-kim", "thank you at-kim") for n in range(4, 8)]
    suggested = [dialogues[0][2], dialogues[0][1], dialogues[1][2]]
    advice = Advice(scenario="late", do="say sorry")
    origins, others = tried_in(advice, suggested, [*dialogues, *quiet], 5)
    assert origins == [("0", 2), ("1", 2)]
    assert others[:2] == [("2", 2), ("3", 2)] and len(others) == 3, "the likest first; what is unlike at any turn"
    everywhere, _ = tried_in(Advice(scenario=EVERYWHERE, do="say sorry"), suggested, [*dialogues, *quiet], 5)
    assert everywhere == [("0", 1), ("1", 1)]


def test_a_strategy_is_tried_from_where_it_is_served_among_the_others() -> None:
    dialogues = [dialogue(n, "refund my parcel at-kim", "it was torn at-kim") for n in range(4)]
    advice = Advice(scenario="refund parcel torn", do="say sorry")
    others = [Advice(scenario=f"refund parcel {how}", do=how) for how in ("lost", "late", "wet", "heavy")]
    served = [Strategy(one.id, 1, one, "approved", Evidence()) for one in others]
    for library, turn in (((), 1), (served, 2)):
        origins, neighbours = tried_in(advice, [dialogues[0][0]], dialogues, 4, library)
        assert [*origins, *neighbours] == [(str(n), turn) for n in range(4)]


def test_a_strategy_of_some_places_is_tried_nowhere_else() -> None:
    dialogues = [dialogue(n, f"hello {('at-kim', 'at-jo', 'at-ron')[n % 3]}") for n in range(12)]
    advice = Advice(scenario="at-jo | at-ron", do="say sorry")
    origins, others = tried_in(advice, [dialogues[1][0]], dialogues, 12)
    assert sorted(int(id) for id, _ in [*origins, *others]) == [n for n in range(12) if n % 3]


def test_a_dialogue_whose_call_failed_counts_in_no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    def played(task: object, jobs: Sequence[Job], student: object, check: object) -> list[Score]:
        return [
            failed(Failure("server", "down"))
            if job.extra and job.state.question.id == "0"
            else Score(float(bool(job.extra)), "right" if job.extra else "wrong")
            for job in jobs
        ]

    monkeypatch.setattr("fulcrum.strategies.trials.play", played)
    states = [dialogue(number, "late at-kim")[0] for number in range(9)]
    candidate = Candidate("s1", Advice(scenario="late", do="say sorry"), tuple(states[:3]), tuple(states[3:]))
    (trial,) = Trials(cast(Any, None), cast(Any, None), lambda: None).run([candidate])
    assert (trial.effect.n, trial.effect.better, trial.neighbours, trial.helped_near) == (8, 8, 6, 6)
    assert trial.accepted(0.05) and "0" not in [state.question.id for state in trial.helped]
