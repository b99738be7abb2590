import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from fulcrum.calls import Spend
from fulcrum.chat import Request, complete, user
from fulcrum.errors import BudgetSpent, ModelError, RunError, SettingsError, TooManyFailures
from fulcrum.evaluation.table import EvaluationRow
from fulcrum.recipe import Recipe, read_recipe
from fulcrum.runs import Run, default_folder
from fulcrum.runs.catalog import compare_settings, reopen, summarise
from fulcrum.runs.doctor import examine
from fulcrum.runs.evaluate import evaluate_run
from fulcrum.runs.learn import RIVALS, learn, learning_cost, price_of_gain
from fulcrum.runs.plan import plan
from fulcrum.runs.run import read_events
from support.fault_server import FaultServer
from support.sums import write_sums


@pytest.fixture
def recipe_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_sums(tmp_path)


@pytest.fixture
def recipe(recipe_file: Path) -> Recipe:
    return read_recipe(recipe_file)


def test_the_folder_holds_what_the_contract_says(recipe: Recipe, tmp_path: Path) -> None:
    with Run(tmp_path / "run", recipe) as run:
        learn(run)
        evaluate_run(run)
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names >= {"recipe.toml", "resolved.json", "command.txt", "environment.json", "events.jsonl", "calls.sqlite"}
    assert names >= {"evaluation.json", "rollouts.jsonl"}
    assert (tmp_path / "run" / "recipe.toml").read_text() == recipe.source
    rows = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert [(row["solver"], row["role_of_solver"]) for row in rows] == [
        ("direct", "baseline"),
        ("few-shot@4", "control"),
        ("self-consistency@5", "control"),
        ("oracle pass@5", "ceiling"),
    ]
    assert ",".join(rows[0]) == (
        "solver,role_of_solver,task,split,seed,n,paired,mean,low,high,difference,difference_low,difference_high,harm,rescue,"
        "failures,calls,tokens,seconds,cost"
    )


def test_evaluating_again_makes_no_call(recipe: Recipe, tmp_path: Path) -> None:
    with Run(tmp_path / "run", recipe) as run:
        first, _ = evaluate_run(run)
        made = run.ledger.total().calls
    with Run(tmp_path / "run", recipe) as run:
        second, _ = evaluate_run(run)
        assert (run.ledger.total().calls, run.ledger.total().stored) == (0, made + run_overlap(first))
    assert [row.mean for row in first] == [row.mean for row in second]
    assert [row.calls for row in first] == [row.calls for row in second]


def run_overlap(rows: object) -> int:
    """The oracle's draws are the votes' draws: asked for twice, paid for once."""
    del rows
    return 5 * 32


def test_changed_settings_are_refused_by_name_and_a_raised_budget_is_not(recipe_file: Path, tmp_path: Path) -> None:
    Run(tmp_path / "run", read_recipe(recipe_file)).close()
    with pytest.raises(RunError, match=r"settings\.votes: 5 -> 7"):
        Run(tmp_path / "run", read_recipe(recipe_file, {"settings.votes": "7"}))
    with pytest.raises(RunError, match="seed: 0 -> 3"):
        Run(tmp_path / "run", read_recipe(recipe_file, {"seed": "3"}))
    Run(tmp_path / "run", read_recipe(recipe_file, {"budget.calls": "9"})).close()
    (tmp_path / "rows.jsonl").write_text((tmp_path / "rows.jsonl").read_text() + '{"a": 1, "b": 999, "answer": 1000}\n')
    with pytest.raises(RunError, match="task_fingerprint"):
        Run(tmp_path / "run", read_recipe(recipe_file))


def test_a_changed_limit_of_the_task_is_refused_and_a_run_that_does_not_tell_its_own_goes_on(
    recipe_file: Path, tmp_path: Path
) -> None:
    Run(tmp_path / "run", read_recipe(recipe_file)).close()
    (tmp_path / "task.toml").write_text("max_tokens = 99\n" + (tmp_path / "task.toml").read_text())
    with pytest.raises(RunError, match=r"other settings: task_max_tokens: 256 -> 99\. Use them again"):
        Run(tmp_path / "run", read_recipe(recipe_file))
    resolved = json.loads((tmp_path / "run" / "resolved.json").read_text())
    del resolved["task_max_tokens"]
    (tmp_path / "run" / "resolved.json").write_text(json.dumps(resolved))
    Run(tmp_path / "run", read_recipe(recipe_file)).close()


def test_how_an_endpoint_is_called_may_change_between_sittings(recipe_file: Path, tmp_path: Path) -> None:
    def called(url: str, options: str) -> Recipe:
        return read_recipe(recipe_file, {"models.actor": f"{url}{options}#tiny"})

    with FaultServer(answer=lambda prompt: "4") as server:
        first = called(server.url, "?timeout=60&key_env=HOME")
        with Run(tmp_path / "run", first) as run:
            evaluate_run(run)
        asked = sum(server.requests.values())
        second = called(server.url, "?timeout=90&retries=1")
        assert default_folder(first) == default_folder(second) == default_folder(called(server.url, ""))
        with Run(tmp_path / "run", second) as run:
            evaluate_run(run)
        assert sum(server.requests.values()) == asked
        assert reopen(tmp_path / "run").models == second.models
        with pytest.raises(RunError, match=r"models\.actor.*thinking=template"):
            Run(tmp_path / "run", called(server.url, "?thinking=template"))


def test_a_run_that_noted_how_its_endpoint_is_called_among_its_settings_still_opens(
    recipe_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = read_recipe(recipe_file, {"models.actor": "http://h/v1?timeout=60#m"})
    with monkeypatch.context() as older:
        older.setattr("fulcrum.recipe.identity_of", lambda name: name)
        folder = default_folder(recipe)
        Run(folder, recipe).close()
    (folder / "models.json").unlink()
    assert "timeout" in (folder / "resolved.json").read_text()
    assert default_folder(recipe) == folder and reopen(folder).models == recipe.models
    Run(folder, recipe).close()
    changed = read_recipe(recipe_file, {"models.actor": "http://h/v1?timeout=90#m"})
    Run(folder, changed).close()
    assert reopen(folder).models == changed.models


def test_a_run_in_use_or_a_folder_of_something_else_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    with Run(tmp_path / "run", recipe), pytest.raises(RunError, match="another process"):
        Run(tmp_path / "run", recipe)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(RunError, match=r"holds thesis\.txt and no run"):
        Run(tmp_path / "mine", recipe)


def test_the_same_recipe_has_the_same_folder(recipe_file: Path) -> None:
    folders = [default_folder(read_recipe(recipe_file, flags)) for flags in ({}, {"budget.calls": "3"}, {"seed": "1"})]
    assert folders[0] == folders[1] != folders[2]


def test_a_stage_runs_once_and_again_only_with_other_inputs(recipe: Recipe, tmp_path: Path) -> None:
    worked: list[str] = []

    def work(folder: Path) -> None:
        worked.append(folder.name)
        (folder / "out.txt").write_text("done")

    for _ in range(2):
        with Run(tmp_path / "run", recipe) as run:
            folders = {run.stage("warm-start", {"rows": rows}, work) for rows in (1, 2)}
    assert len(worked) == len(set(worked)) == 2
    assert all((folder / "out.txt").read_text() == "done" for folder in folders)


def test_two_helpers_at_one_stage_do_it_once(recipe: Recipe, tmp_path: Path) -> None:
    """As the arms of a sweep that share a training."""
    begun, may_end, worked = Event(), Event(), list[str]()

    def slow(folder: Path) -> None:
        worked.append("first")
        begun.set()
        assert may_end.wait(10)

    with Run(tmp_path / "run", recipe) as run, ThreadPoolExecutor() as pool:
        helper = Run(tmp_path / "run", recipe, helper=True)
        first = pool.submit(run.stage, "tune", {}, slow)
        assert begun.wait(10)
        second = pool.submit(helper.stage, "tune", {}, lambda folder: worked.append("second"))
        with pytest.raises(TimeoutError):
            second.result(0.2)  # it waits
        may_end.set()
        assert first.result(10) == second.result(10)
        helper.close()
    assert worked == ["first"]


def test_an_interrupted_stage_gets_its_leftovers_back(recipe: Recipe, tmp_path: Path) -> None:
    def work(folder: Path) -> None:
        if not (folder / "half.txt").exists():
            (folder / "half.txt").write_text("1")
            raise KeyboardInterrupt
        (folder / "whole.txt").write_text("2")

    with Run(tmp_path / "run", recipe) as run, pytest.raises(KeyboardInterrupt):
        run.stage("tune", {}, work)
    with Run(tmp_path / "run", recipe) as run:
        assert (run.stage("tune", {}, work) / "whole.txt").exists()


def test_the_budget_counts_earlier_sittings_and_loses_nothing(recipe_file: Path, tmp_path: Path) -> None:
    limited = read_recipe(recipe_file, {"budget.calls": "40"})
    with Run(tmp_path / "run", limited) as run, pytest.raises(BudgetSpent, match="calls 40 of 40"):
        evaluate_run(run)
    with Run(tmp_path / "run", limited) as run:
        assert run.budget.spent.calls == 40
        with pytest.raises(BudgetSpent):
            evaluate_run(run)
    with Run(tmp_path / "run", reopen(tmp_path / "run", {"calls": "10000"})) as run:
        evaluate_run(run)
    asked = (tmp_path / "asked.txt").read_text().splitlines()
    assert len(asked) == len(set(asked))


def test_a_torn_event_is_cut_off_and_minutes_of_all_sittings_add_up(recipe: Recipe, tmp_path: Path) -> None:
    with Run(tmp_path / "run", recipe) as run:
        run.log("learned")
    events = tmp_path / "run" / "events.jsonl"
    started = json.loads(events.read_text().splitlines()[0])["time"]
    with events.open("a") as file:
        file.write(json.dumps({"time": started + 120, "event": "late"}) + '\n{"time": 17')
    with Run(tmp_path / "run", recipe) as run:
        assert 2.0 <= run.budget.minutes < 2.1
    names = [event["event"] for event in read_events(tmp_path / "run")]
    assert names == ["sitting/start", "learned", "sitting/end", "late", "sitting/start", "sitting/end"]


@pytest.mark.parametrize("bot", ["bots:sloppy", "dead_bots:down"])
def test_minutes_of_a_killed_sitting_end_with_its_last_call(recipe_file: Path, tmp_path: Path, bot: str) -> None:
    (tmp_path / "dead_bots.py").write_text("def down(request):\n    raise OSError\n")
    recipe, folder = read_recipe(recipe_file, {"models.actor": f"python:{bot}"}), tmp_path / "run"
    with Run(folder, recipe) as run:
        complete(run.model("actor"), [Request((user("What is 1 + 2?"),))])
    now = time.time()
    starts = [{"time": now + seconds, "event": "sitting/start"} for seconds in (-600, -120, 300)]
    (folder / "events.jsonl").write_text("".join(json.dumps(start) + "\n" for start in starts))
    with Run(folder, recipe) as run:
        assert 1.9 < run.budget.minutes_before < 2.1  # the first sitting called nothing; the third, nothing yet


def test_a_model_without_a_price_is_refused_wherever_it_is_asked_for_if_money_is_limited(
    recipe_file: Path, tmp_path: Path
) -> None:
    name = "http://localhost:1/v1#m"
    with Run(tmp_path / "free", read_recipe(recipe_file)) as run:
        run.model("actor", name)
    with Run(tmp_path / "run", read_recipe(recipe_file, {"budget.money": "3"})) as run:
        run.model("actor")
        with pytest.raises(SettingsError, match=f"price of {name} is unknown"):
            run.model("actor", name)


def test_runs_are_summarised_and_told_apart(recipe_file: Path, tmp_path: Path) -> None:
    Run(tmp_path / "a", read_recipe(recipe_file)).close()
    Run(tmp_path / "b", read_recipe(recipe_file, {"settings.votes": "3"})).close()
    assert summarise(tmp_path / "a").state == "unfinished"
    assert compare_settings(tmp_path / "a", tmp_path / "b") == ["settings.votes: 5 -> 3"]
    with pytest.raises(RunError, match="is not a run folder"):
        summarise(tmp_path)


def test_a_money_budget_wants_known_prices(recipe_file: Path) -> None:
    recipe = read_recipe(recipe_file, {"models.actor": "http://localhost:1/v1#m", "budget.money": "3"})
    with pytest.raises(SettingsError, match="price of http://localhost:1/v1#m is unknown"):
        _ = recipe.prices


def use_judge(folder: Path, model: str) -> None:
    task = (folder / "task.toml").read_text().replace('kind = "number"', f'kind = "judge"\nmodel = "{model}"')
    (folder / "task.toml").write_text(task)


def test_a_money_budget_wants_the_price_of_the_judge_too(recipe_file: Path, tmp_path: Path) -> None:
    use_judge(tmp_path, "http://localhost:1/v1#judge")
    with pytest.raises(SettingsError, match="price of http://localhost:1/v1#judge is unknown"):
        _ = read_recipe(recipe_file, {"budget.money": "3"}).prices


def test_the_plan_counts_the_judge(recipe_file: Path, tmp_path: Path) -> None:
    use_judge(tmp_path, "python:bots:tie")
    recipe = read_recipe(recipe_file, {"settings.votes": "3"})
    planned = {row.stage: row.calls for row in plan(recipe).rows}
    with Run(tmp_path / "run", recipe) as run:
        evaluate_run(run)
        assert planned["scoring"] == run.ledger.snapshot()["judge"].answers


def test_the_plan_says_which_limits_the_run_may_meet(recipe_file: Path) -> None:
    planned = plan(read_recipe(recipe_file, {"budget.calls": "40", "budget.tokens": "1000000"}))
    assert planned.calls > 40 and planned.beyond_budget == [f"calls: {planned.calls} of budget.calls = 40"]
    assert plan(read_recipe(recipe_file)).beyond_budget == []


def test_the_pace_of_an_endpoint_is_that_of_calls_under_way_together(recipe_file: Path, tmp_path: Path) -> None:
    with FaultServer(answer=lambda prompt: "4", latency=0.5) as server:
        recipe = read_recipe(recipe_file, {"models.actor": f"{server.url}?concurrency=16#tiny"})
        with Run(tmp_path / "run", recipe) as run:
            evaluate_run(run)
        seconds, source = plan(recipe, folder=tmp_path / "run").pace["actor"]
        assert "stored calls" in source and seconds < 0.25
        assert plan(recipe).pace == {}
        assert plan(recipe, probe_endpoints=True).pace["actor"][0] < 0.5
    with pytest.raises(ModelError, match=r"8 of 8 calls to measure its pace failed|4 of 4 calls"):
        plan(read_recipe(recipe_file, {"models.actor": "http://127.0.0.1:9/v1?retries=0#tiny"}), probe_endpoints=True)


@pytest.mark.parametrize(("judge", "level"), [("python:bots:tie", "good"), ("python:bots:sloppy", "bad")])
def test_the_doctor_tries_the_judge(recipe_file: Path, tmp_path: Path, judge: str, level: str) -> None:
    use_judge(tmp_path, judge)
    (said,) = [one for one in examine(read_recipe(recipe_file)) if "verdict" in one.what]
    assert (said.level, bool(said.remedy)) == (level, level == "bad")


def test_failed_calls_of_earlier_sittings_are_calls(recipe_file: Path, tmp_path: Path) -> None:
    (tmp_path / "broken_bots.py").write_text("def down(request):\n    raise OSError('down')\n")
    limited = read_recipe(recipe_file, {"budget.calls": "30", "models.actor": "python:broken_bots:down"})
    with Run(tmp_path / "run", limited) as run, pytest.raises(TooManyFailures, match="20 of 20"):
        evaluate_run(run)
    with Run(tmp_path / "run", limited) as run:
        assert (run.budget.failed_before, run.budget.spent.calls) == (20, 0)


@pytest.mark.parametrize("left", [".recipe.toml.17.partial", "budget.json", "models.json", "environment.json"])
def test_a_kill_while_the_folder_is_made_can_be_continued(recipe: Recipe, tmp_path: Path, left: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / left).write_text("{")
    Run(tmp_path / "run", recipe).close()
    assert reopen(tmp_path / "run").models == recipe.models


def test_wrong_prices_leave_the_run_as_it_was(recipe_file: Path, tmp_path: Path) -> None:
    Run(tmp_path / "run", read_recipe(recipe_file, {"budget.calls": "9"})).close()
    with pytest.raises(SettingsError, match="no such file"):
        Run(tmp_path / "run", read_recipe(recipe_file, {"budget.prices": "none.toml"}))
    assert reopen(tmp_path / "run").keys.budget.calls == 9


def test_a_judge_is_stored_and_counted_like_any_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe_file = write_sums(tmp_path)
    use_judge(tmp_path, "python:bots:tie")
    flags = {"settings.votes": "0", "settings.shots": "0"}
    with Run(tmp_path / "run", read_recipe(recipe_file, flags)) as run:
        (row,), _ = evaluate_run(run)
        assert row.mean == 0.5 and row.calls == 32  # the deployed solver does not pay for its judge
        assert run.ledger.snapshot()["judge"].answers == 64
    with Run(tmp_path / "run", read_recipe(recipe_file, flags)) as run:
        evaluate_run(run)
        assert run.ledger.snapshot()["judge"].calls == 0


def row(solver: str, role: str, difference: float | None, low: float | None) -> EvaluationRow:
    numbers = dict.fromkeys(("mean", "low", "high"), 0.5) | {"difference": difference, "difference_low": low}
    counts = dict.fromkeys(("failures", "calls", "tokens", "seconds"), 0)
    more = {"difference_high": difference and difference + 0.1, "harm": None, "rescue": None, "cost": None}
    data = {"solver": solver, "role_of_solver": role, "task": "t", "split": "test", "seed": 0, "n": 9}
    return EvaluationRow.model_validate(data | numbers | counts | more)


def test_a_gain_has_a_price_and_no_gain_has_none() -> None:
    cost = {
        "actor": Spend(1500, prompt_tokens=30_000, completion_tokens=10_000, cost=3.0),
        "generator": Spend(500, prompt_tokens=2_000),
    }
    baseline = row("direct", "baseline", None, None)
    took = (
        "Learning took 2,000 calls (1,500 of the actor, 500 of the generator), 42,000 tokens, the time of training not "
        "counted"
    )
    gained = price_of_gain(cost, [baseline, row("mine", "method", 0.2, 0.1)])
    assert gained == f"{took}: 100 calls and 0.15 in money for each point gained."
    unpriced = {**cost, "generator": Spend(500, prompt_tokens=2_000, cost=None)}
    assert price_of_gain(unpriced, [row("mine", "method", 0.2, 0.1)]) == f"{took}: 100 calls for each point gained."
    unclear = price_of_gain(cost, [baseline, row("mine", "method", 0.2, -0.1)])
    assert unclear == f"{took}; no gain is shown that these could be divided by."
    beside = price_of_gain({**cost, RIVALS: Spend(7000, cost=9.0)}, [baseline, row("mine", "method", 0.2, 0.1)])
    assert beside == f"{gained} What it is compared with took 7,000 calls more to train and measure."
    assert price_of_gain({}, [row("mine", "method", 0.2, 0.1)]) is None
    assert price_of_gain(cost, [baseline]) is None


def test_what_is_learned_later_is_added_and_what_is_not_known_is_not_noted(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(run: Run, count: int) -> None:
        prompts = [Request((user(f"{run.folder} {time.perf_counter()} {n}"),)) for n in range(count)]
        complete(run.model("actor"), prompts)

    calls = iter([3, 2, 1])
    monkeypatch.setattr(type(recipe.method), "learn", lambda method, run: ask(run, next(calls)))
    with Run(tmp_path / "run", recipe) as run:
        learn(run)
        assert learning_cost(run.folder)["actor"].calls == 3
        evaluate_run(run)
        learn(run)  # as after feedback
        assert learning_cost(run.folder)["actor"].calls == 5
    with Run(tmp_path / "older", recipe) as run:
        evaluate_run(run)
        learn(run)
        assert learning_cost(run.folder) == {}, "its calls cannot be told from the evaluation's"
