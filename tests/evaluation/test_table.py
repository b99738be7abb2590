import json
from pathlib import Path

import pytest

from fulcrum.calls import Spend
from fulcrum.errors import RunError
from fulcrum.evaluation.table import EvaluationRow, oracle_row, read_evaluation, rows_from, write_evaluation
from support.evaluation import made

FIELDS = [
    *("solver", "role_of_solver", "task", "split", "seed", "n", "paired", "mean", "low", "high"),
    *("difference", "difference_low", "difference_high", "harm", "rescue", "failures"),
    *("calls", "tokens", "seconds", "cost"),
]


def test_failures_are_counted_and_in_no_mean() -> None:
    rows = rows_from([made("direct", "baseline", [1, 0, "timeout", "truncated", 1])], "direct")
    assert (rows[0].n, rows[0].failures) == (3, 2)
    assert rows[0].mean == pytest.approx(2 / 3)


def test_the_difference_is_paired_and_not_the_difference_of_the_means() -> None:
    direct = made("direct", "baseline", [0, 0, 1, 1, "timeout"])
    mine = made("mine", "method", [1, 0, 1, "timeout", 1])
    before, after = rows_from([direct, mine], "direct")
    assert (before.mean, after.mean) == (0.5, 0.75)
    assert (after.n, after.paired, before.paired) == (4, 3, None)
    assert after.difference == pytest.approx(1 / 3)
    assert (after.harm, after.rescue) == (0.0, 0.5)
    assert before.difference is before.harm is before.rescue is None


def test_pairing_is_by_example_and_not_by_place() -> None:
    direct = made("direct", "baseline", {"a": 1, "b": 0, "c": 0})
    mine = made("mine", "method", {"c": 0, "b": 0, "a": 1})
    assert rows_from([direct, mine], "direct")[1].difference == 0


def test_the_same_gain_on_the_same_examples_is_surer_when_paired() -> None:
    """150 examples, 15 rescued and none broken: unpaired intervals would overlap widely."""
    direct, mine = [1] * 60 + [0] * 90, [1] * 75 + [0] * 75
    row = rows_from([made("direct", "baseline", direct), made("mine", "method", mine)], "direct")[1]
    assert row.difference == pytest.approx(0.1)
    assert row.difference_low is not None
    assert row.difference_low > 0.04
    assert row.low is not None
    assert row.low < 60 / 150 + 0.04


def test_several_seeds_are_one_row_whose_interval_is_over_examples() -> None:
    values = [1, 0] * 20
    once = rows_from([made("mine", "method", values), made("direct", "baseline", [0] * 40)], "direct")[0]
    seeds = [made("mine", "method", values, seed=seed) for seed in range(5)]
    often = rows_from([*seeds, made("direct", "baseline", [0] * 40)], "direct")[0]
    assert (once.seed, often.seed) == (0, None)
    assert (often.n, often.mean, often.low, often.high) == (once.n, once.mean, once.low, once.high)
    assert often.difference_low == once.difference_low


def test_all_failed_is_none_and_not_zero() -> None:
    row = rows_from([made("direct", "baseline", [1]), made("mine", "method", ["timeout"])], "direct")[1]
    assert (row.n, row.failures) == (0, 1)
    assert row.mean is row.low is row.difference is row.harm is None


def test_spend_stands_in_the_row_and_an_unknown_cost_stays_unknown() -> None:
    spend = {
        "actor": Spend(calls=2, stored=3, prompt_tokens=10, completion_tokens=5, seconds=1.5, cost=0.25),
        "judge": Spend(calls=1, prompt_tokens=1, seconds=0.5, cost=0.5),
    }
    known = rows_from([made("direct", "baseline", [1], spend=spend)], "direct")[0]
    assert (known.calls, known.tokens, known.seconds, known.cost) == (6, 16, 2.0, 0.75)
    spend["judge"] = Spend(calls=1, cost=None)
    assert rows_from([made("direct", "baseline", [1], spend=spend)], "direct")[0].cost is None


def test_the_oracle_is_a_ceiling_over_the_draws() -> None:
    baseline = made("direct", "baseline", {"a": 1, "b": 0, "c": 0})
    draws = [made("warm", "control", {"a": 1, "b": sample, "c": 0}, sample=sample) for sample in range(2)]
    warm = made("warm", "control", [], rollouts=(*draws[0].rollouts, *draws[1].rollouts))
    row = oracle_row(warm, 2, baseline)
    assert (row.solver, row.role_of_solver, row.n) == ("warm pass@2", "ceiling", 3)
    assert row.mean == pytest.approx(2 / 3)
    assert (row.difference, row.rescue) == (pytest.approx(1 / 3), 0.5)
    assert oracle_row(warm, 1, baseline).mean == pytest.approx(0.5)


def test_of_graded_scores_the_oracle_is_a_ceiling_too() -> None:
    baseline = made("direct", "baseline", {"a": 0.8, "b": 0.6})
    draws = [made("warm", "control", {"a": low, "b": 0.6}, sample=sample) for sample, low in enumerate([0.6, 0.8])]
    warm = made("warm", "control", [], rollouts=(*draws[0].rollouts, *draws[1].rollouts))
    row = oracle_row(warm, 2, baseline)
    assert (row.mean, row.difference) == (pytest.approx(0.7), pytest.approx(0.0))


def test_the_file_holds_exactly_the_promised_fields_and_survives(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    rows = rows_from([made("direct", "baseline", [1, 0]), made("mine", "method", ["timeout", 1])], "direct")
    write_evaluation(path, rows)
    assert [list(row) for row in json.loads(path.read_text())] == [FIELDS, FIELDS]
    assert read_evaluation(path) == rows
    older = [row.model_dump(exclude={"paired"}) for row in rows]
    path.write_text(json.dumps(older))
    assert read_evaluation(path) == [row.model_copy(update={"paired": None}) for row in rows]
    path.write_text(path.read_text().replace('"method"', '"hero"'))
    with pytest.raises(RunError, match=r"not an evaluation \(1.role_of_solver"):
        read_evaluation(path)
    with pytest.raises(RunError, match="cannot be read"):
        read_evaluation(tmp_path / "absent.json")


def test_an_unknown_baseline_gets_the_nearest_name() -> None:
    with pytest.raises(RunError, match="no solver is called 'dierct'; did you mean 'direct'"):
        rows_from([made("direct", "baseline", [1])], "dierct")


def test_other_splits_and_tasks_are_refused() -> None:
    direct = made("direct", "baseline", [1])
    with pytest.raises(RunError, match="direct was evaluated on split 'test' and mine on 'dev'"):
        rows_from([direct, made("mine", "method", [1], split="dev")], "direct")
    with pytest.raises(RunError, match="different tasks: data, prompt or scorer differ"):
        rows_from([direct, made("mine", "method", [1], task_fingerprint="f1")], "direct")


def test_a_row_refuses_fields_that_nobody_promised() -> None:
    row = rows_from([made("direct", "baseline", [1])], "direct")[0]
    with pytest.raises(ValueError, match="extra"):
        EvaluationRow(**{**row.model_dump(), "bonus": 1})
