from collections.abc import Sequence
from dataclasses import replace

import pytest

from fulcrum.chat import Message, ToolCall, assistant, user
from fulcrum.evaluation import diagnosis
from fulcrum.evaluation.results import pool_seeds
from fulcrum.evaluation.rollouts import SolverRollouts
from fulcrum.evaluation.table import EvaluationRow, oracle_row, rows_from
from support.evaluation import made


def rows(*results: SolverRollouts) -> list[EvaluationRow]:
    return rows_from(results, results[0].solver)


def direct(values: Sequence[float | str | None]) -> SolverRollouts:
    return made("direct", "baseline", values)


def mine(values: Sequence[float | str | None]) -> SolverRollouts:
    return made("mine", "method", values)


def test_nothing_solved() -> None:
    said = diagnosis.nothing_solved(rows(direct([0, 0]), mine([None, 0])))
    assert said is not None
    assert "no signal" in said
    assert diagnosis.nothing_solved(rows(direct([0, 0]), mine([0, 1]))) is None
    assert diagnosis.nothing_solved(rows(direct(["timeout"]))) is None


def test_nothing_to_gain() -> None:
    assert diagnosis.nothing_to_gain(rows(direct([1] * 50))[0]) == (
        "direct solves everything: there is nothing to gain. Use harder examples."
    )
    said = diagnosis.nothing_to_gain(rows(direct([1] * 99 + [0]))[0])
    assert said == "direct already scores 99 %: at most 1.0 points can be gained. Use harder examples."
    assert diagnosis.nothing_to_gain(rows(direct([1] * 90 + [0] * 10))[0]) is None
    assert diagnosis.nothing_to_gain(rows(direct(["timeout"]))[0]) is None


def test_failed_calls_are_said_by_kind_with_a_remedy() -> None:
    result = direct(["truncated"] * 12 + ["timeout"] * 3 + ["refused"] + [1] * 84)
    said = diagnosis.failed_calls("direct", result.rollouts)
    assert said == [
        "direct: 12 % of 100 attempts ended in a failure of kind truncated, and are in no mean: raise max_tokens.",
        "direct: 3 % of 100 attempts ended in a failure of kind timeout, and are in no mean: allow more time or fewer "
        "calls at once.",
    ]


def test_unparsable_answers() -> None:
    said = diagnosis.unparsable_answers("direct", direct([None] * 4 + [0] * 6).rollouts)
    assert said is not None
    assert said.startswith("direct: 40 % of answers are unparsable")
    assert "answer format" in said
    assert diagnosis.unparsable_answers("direct", direct([None] + [0] * 9).rollouts) is None


def failures_could_decide(baseline: SolverRollouts, *method: SolverRollouts) -> str | None:
    """Look at one method, whose results may be of several seeds."""
    (pooled,) = pool_seeds(method).values()
    return diagnosis.failures_could_decide(pooled, baseline)


def test_failures_that_could_undo_a_gain() -> None:
    baseline = direct([1] * 50 + [0] * 50)
    said = failures_could_decide(baseline, mine([1] * 50 + [0] * 5 + [1] * 15 + ["truncated"] * 30))
    assert said is None  # 65 of 100 right is still more than 50
    said = failures_could_decide(baseline, mine([1] * 20 + ["truncated"] * 30 + [1] * 25 + ["truncated"] * 25))
    assert said is not None
    assert "55 attempts failed (0 of direct)" in said
    assert "-5.0 instead of +55.6" in said


def test_failures_decide_nothing_where_there_is_no_gain_or_the_baseline_failed_too() -> None:
    assert failures_could_decide(direct([1, 0] * 20), mine([1, 0] * 10 + ["truncated"] * 20)) is None
    truncated = ["truncated"] * 20
    assert failures_could_decide(direct([0] * 20 + truncated), mine([1] * 20 + truncated)) is None


def test_a_failed_attempt_among_several_weighs_as_one_attempt() -> None:
    baseline = direct([1] * 50 + [0] * 50)
    seeds = [made("mine", "method", [1] * 80 + [0] * 20, seed=seed) for seed in range(2)]
    third = made("mine", "method", [1] * 30 + ["truncated"] * 70, seed=2)
    assert failures_could_decide(baseline, *seeds, third) is None  # (80 + 80 + 30) / 3 of 100 is more than 50


def test_word_for_word_the_same_answers() -> None:
    baseline = made("same", "baseline", [1, 0])
    same, other = made("same", "method", [1, 0]), mine([1, 0])
    said = diagnosis.same_answers(same, baseline)
    assert said is not None
    assert "on all 2 attempts" in said
    assert diagnosis.same_answers(other, baseline) is None
    assert diagnosis.same_answers(made("same", "method", ["timeout"]), baseline) is None


def in_turns(result: SolverRollouts, *turns: Message) -> SolverRollouts:
    """Return attempts that are dialogues of these turns and end in the same words."""
    return replace(result, rollouts=tuple(replace(r, text="Goodbye.", turns=turns) for r in result.rollouts))


def test_dialogues_that_end_in_the_same_words_are_not_the_same() -> None:
    alone, guided = made("alone", "baseline", [0] * 9), made("guided", "method", [1] * 9)
    thanks, goodbye = user("Thanks."), assistant("Goodbye.")
    before = in_turns(alone, assistant("No."), thanks, goodbye)
    assert diagnosis.same_answers(in_turns(guided, assistant("Yes."), thanks, goodbye), before) is None
    assert diagnosis.same_answers(in_turns(guided, assistant("No."), user("Oh."), goodbye), before) is not None


def test_other_tool_calls_are_other_answers_whatever_their_ids() -> None:
    def calling(result: SolverRollouts, call: ToolCall) -> SolverRollouts:
        return in_turns(result, Message("assistant", "", (call,)), assistant("Goodbye."))

    before = calling(made("alone", "baseline", [0]), ToolCall("1", "refund", "{}"))
    guided = made("guided", "method", [1])
    assert diagnosis.same_answers(calling(guided, ToolCall("2", "exchange", "{}")), before) is None
    assert diagnosis.same_answers(calling(guided, ToolCall("2", "refund", "{}")), before) is not None


def test_too_few_examples_names_a_number_that_would_be_enough() -> None:
    before = [1] * 40 + [0] * 60
    after = [1] * 32 + [0] * 8 + [1] * 13 + [0] * 47
    said = diagnosis.too_few_examples(rows(direct(before), mine(after))[1])
    assert said is not None
    assert "mine: the interval +5.0 [" in said
    assert "With n = 100 a true difference below 12" in said
    # Textbook: (1.96 + 0.84)^2 * (0.21 - 0.05^2) / 0.05^2 = 651; the half-width of a bootstrap differs a little.
    assert 600 <= int(said.split("use about ")[1].split()[0]) <= 700


def test_examples_are_counted_where_both_answered() -> None:
    before = [0, 1, 0, 0, 1] * 12 + ["timeout"] * 940
    row = rows(direct(before), mine([1, 1, 0, 0, 0] * 200))[1]
    said = diagnosis.too_few_examples(row)
    assert row.n == 1000
    assert said is not None and "With n = 60 a true difference" in said


@pytest.mark.parametrize(("n", "rescued"), [(3, 3), (4, 4), (10, 4), (20, 4), (100, 4)])
def test_the_number_that_would_be_enough_is_more_than_there_are(n: int, rescued: int) -> None:
    said = diagnosis.too_few_examples(rows(direct([0] * n), mine([1] * rescued + [0] * (n - rescued)))[1])
    assert said is not None
    assert int(said.split("use about ")[1].split()[0]) > n


def test_no_difference_at_all_asks_for_no_examples() -> None:
    said = diagnosis.too_few_examples(rows(direct([1, 0] * 20), mine([1, 0] * 20))[1])
    assert said is not None
    assert said.endswith("; this looks like no difference.")
    assert diagnosis.too_few_examples(rows(direct([0] * 30), mine([1] * 30))[1]) is None
    assert diagnosis.too_few_examples(rows(direct([1] * 30), mine([0] * 30))[1]) is None


def test_harm() -> None:
    said = diagnosis.harmful(rows(direct([1] * 10 + [0] * 10), mine([0] + [1] * 19))[1])
    assert said is not None
    assert said.startswith("mine breaks 10 % of what the baseline solves")
    assert diagnosis.harmful(rows(direct([1] * 30 + [0] * 10), mine([0] + [1] * 39))[1]) is None
    assert diagnosis.harmful(rows(direct([0]), mine([1]))[1]) is None


def test_a_control_that_does_as_well_explains_the_gain() -> None:
    results = [direct([0] * 40), mine([1] * 30 + [0] * 10), made("shuffled", "control", [1] * 29 + [0] * 11)]
    said = diagnosis.diagnose(results, rows(*results))
    assert any("not clearly better than the control shuffled: +2.5 [" in sentence for sentence in said)
    results[2] = made("shuffled", "control", [1] * 5 + [0] * 35)
    assert not any("shuffled" in sentence for sentence in diagnosis.diagnose(results, rows(*results)))


def test_another_baseline_that_does_as_well_explains_the_gain_too() -> None:
    results = [direct([0] * 40), mine([1] * 30 + [0] * 10), made("vote", "baseline", [1] * 29 + [0] * 11)]
    said = diagnosis.diagnose(results, rows(*results))
    assert any("not clearly better than the baseline vote: +2.5 [" in sentence for sentence in said)


def test_a_healthy_evaluation_needs_no_word() -> None:
    results = [direct([1] * 20 + [0] * 80), mine([1] * 60 + [0] * 40), made("shuffled", "control", [1] * 20 + [0] * 80)]
    table = [*rows(*results), oracle_row(results[0], 1, results[0])]
    assert diagnosis.diagnose(results, table) == []


def test_a_second_baseline_is_not_what_is_diagnosed() -> None:
    """Few-shot may be a baseline too, but differences are against the first."""
    results = [direct([1] * 20 + [0] * 80), made("few-shot@4", "baseline", [1] * 100), mine([1] * 60 + [0] * 40)]
    assert not any("nothing to gain" in sentence for sentence in diagnosis.diagnose(results, rows(*results)))
