from collections.abc import Sequence
from pathlib import Path

import pytest

from fulcrum.cli.main import main
from fulcrum.errors import RunError
from fulcrum.evaluation.compare import compare
from fulcrum.evaluation.results import read_results
from fulcrum.report import render_comparison
from support.report import Page, attempts, evaluate_by_hand, figures, learned_run
from support.sums import write_sums


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_sums(tmp_path)


def method_run(folder: str, recipe: Path, solver: str, values: Sequence[float], votes: int, seed: int = 0) -> Path:
    run = learned_run(Path(folder), recipe, votes=str(votes), seed=str(seed))
    baseline = attempts(run, "direct", "baseline", [1] * 10 + [0] * 20, seed=seed)
    return evaluate_by_hand(run, [baseline, attempts(run, solver, "method", values, seed=seed)])


def test_two_methods_are_compared_as_compare_does(recipe: Path) -> None:
    one = method_run("one", recipe, "tuned", [1] * 12 + [0] * 18, votes=3)
    two = method_run("two", recipe, "guided", [0] * 2 + [1] * 26 + [0] * 2, votes=5)
    html = render_comparison([one, two])
    page = Page(html)
    comparison = compare({"one": read_results(one), "two": read_results(two)})
    pairing = comparison.differences[0].pairing
    assert page.all("h1")[0].text == "two: guided is better than one: tuned, by 46.7 points."
    shown = page.rows(1)["two: guided"]
    assert figures(shown)[1:] == [
        pairing.difference.estimate, pairing.rescued, pairing.broken, pairing.n, pairing.p_value
    ]  # fmt: skip
    assert {name: figures(cells)[0] for name, cells in page.rows().items()} == {
        row.solver: row.mean for row in comparison.rows
    }
    assert "settings.votes: 3 -> 5" in page.text
    assert f"{pairing.rescued} won" in page.text and "First: one: tuned" in page.text
    assert html == render_comparison([one, two])
    assert len(html.encode()) < 2_000_000


def test_runs_that_differ_only_in_seed_are_pooled(recipe: Path) -> None:
    runs = [method_run(f"one-{seed}", recipe, "tuned", [1] * 12 + [0] * 18, votes=3, seed=seed) for seed in (0, 1)]
    other = method_run("two", recipe, "guided", [1] * 12 + [0] * 18, votes=5)
    page = Page(render_comparison([*runs, other]))
    assert "2 seeds" in page.text and "one-0: tuned: 2 seeds, whose differences go from" in page.text
    assert page.all("h1")[0].text.startswith("Which of one-0: tuned and two: guided is better cannot be told")
    with pytest.raises(RunError, match="differ in nothing but the seed"):
        render_comparison(runs)


def test_of_more_than_two_methods_no_pair_is_picked_to_be_shown(recipe: Path) -> None:
    values = {"one": 12, "two": 20, "three": 28}
    runs = [
        method_run(name, recipe, "tuned", [1] * solved + [0] * (30 - solved), votes=solved)
        for name, solved in values.items()
    ]
    page = Page(render_comparison(runs))
    assert page.all("h1")[0].text == "2 of 3 are shown to be better than one: direct."
    assert not page.all("article")
    assert "items" not in [section.attributes["id"] for section in page.all("section")]


def test_a_run_without_evaluation_is_refused_with_the_command(recipe: Path) -> None:
    one = method_run("one", recipe, "tuned", [1] * 12, votes=3)
    two = learned_run(Path("two"), recipe, votes="5")
    with pytest.raises(RunError, match="fulcrum evaluate two"):
        render_comparison([one, two])


def test_the_command_writes_a_comparison(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    method_run("one", recipe, "tuned", [1] * 12 + [0] * 18, votes=3)
    method_run("two", recipe, "guided", [1] * 28 + [0] * 2, votes=5)
    with pytest.raises(SystemExit) as stopped:
        main(["report", "one", "two"])
    assert stopped.value.code == 0 and capsys.readouterr().out == "comparison.html\n"
    assert Path("comparison.html").read_text(encoding="utf-8") == render_comparison([Path("one"), Path("two")])
