from dataclasses import replace
from pathlib import Path

import pytest

from fulcrum.cli.main import main
from fulcrum.errors import RunError
from fulcrum.evaluation.results import read_results
from fulcrum.report import render_overview, write_report
from support.report import Page, attempts, evaluate_by_hand, figures, learned_run
from support.sums import write_sums


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two runs on two tasks: one that helps, one of which nothing can be told."""
    monkeypatch.chdir(tmp_path)
    recipe = write_sums(tmp_path)
    task = Path("task.toml").read_text(encoding="utf-8")
    Path("other.toml").write_text(task.replace('name = "sums"', 'name = "others"'), encoding="utf-8")
    other = Path("other-recipe.toml")
    other.write_text(recipe.read_text(encoding="utf-8").replace("task.toml", "other.toml"), encoding="utf-8")
    made: list[Path] = []
    for name, file, values in (("good", recipe, [1] * 28 + [0] * 2), ("level", other, [1] * 11 + [0] * 19)):
        run = learned_run(tmp_path / name, file, votes="3")
        baseline = attempts(run, "direct", "baseline", [1] * 10 + [0] * 20)
        control = attempts(run, "shuffled", "control", [1] * 12 + [0] * 18)
        made.append(evaluate_by_hand(run, [baseline, control, attempts(run, "tuned", "method", values)]))
    return made


def test_each_run_is_judged_on_its_own_and_nothing_is_compared(runs: list[Path], tmp_path: Path) -> None:
    write_report(runs[0])
    html = render_overview(runs, tmp_path)
    page = Page(html)
    assert page.all("h1")[0].text == "1 of 2 are shown to help."
    assert "tuned helped: +60.0 points." in page.text and "Whether tuned helps cannot be told" in page.text
    ((_, first),) = page.rows().items()  # both runs have the same method; the last one stands
    _, before, after, difference, control, harm, *_ = figures(first)
    assert [before, after, control, harm] == [pytest.approx(value) for value in (10 / 30, 11 / 30, 2 / 30, 0.0)]
    assert difference == pytest.approx(1 / 30)
    links = [link.attributes["href"] for link in page.all("a") if link.attributes["href"].endswith(".html")]
    assert links == ["good/report.html"]  # the other run has no page
    assert html == render_overview(runs, tmp_path)


def test_a_run_without_evaluation_is_refused_with_the_command(runs: list[Path], tmp_path: Path) -> None:
    bare = learned_run(tmp_path / "bare", tmp_path / "other-recipe.toml", votes="5")
    with pytest.raises(RunError, match="fulcrum evaluate"):
        render_overview([runs[0], bare], tmp_path)


def test_the_command_takes_runs_of_different_tasks(runs: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["report", *map(str, runs), "-o", "all.html"])
    assert stopped.value.code == 0 and capsys.readouterr().out.strip() == "all.html"
    assert "1 of 2 are shown to help." in Path("all.html").read_text(encoding="utf-8")


def test_runs_measured_on_other_splits_are_not_called_held_out(runs: list[Path], tmp_path: Path) -> None:
    assert "on held-out examples" in Page(render_overview(runs, tmp_path)).text
    for run, split in zip(runs, ("train", "dev"), strict=True):
        results = [replace(result, split=split) for result in read_results(run)]
        evaluate_by_hand(run, results)
    page = Page(render_overview(runs, tmp_path))
    assert "on examples of dev and train" in page.text and "held-out" not in page.text
    ((_, (task, *_)),) = page.rows().items()
    assert task.text.split() == ["toy", "dev"]
