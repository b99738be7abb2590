"""From a recipe to an adapter that PEFT loads and an endpoint serves; killed at any point, it ends the same."""

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from fulcrum.artifact import read_artifact
from fulcrum.atomic import read_json
from fulcrum.calls import CallStore
from fulcrum.chat import Failure, Request, Sampling, complete, resolve, user
from fulcrum.cli.main import main
from fulcrum.errors import RunError, SettingsError
from fulcrum.evaluation.rollouts import Rollout, SolverRollouts
from fulcrum.hashing import content_hash, file_hash
from fulcrum.leverage.anchor import Anchor
from fulcrum.leverage.arms import ARMS
from fulcrum.leverage.learn import learn, trials_of
from fulcrum.leverage.solver import AnchoredModel
from fulcrum.leverage.sweep import plan_sweep, run_sweep
from fulcrum.leverage.tokens import TokenCounter
from fulcrum.leverage.trial import Bench, scores_of
from fulcrum.leverage.tries import Exposure
from fulcrum.recipe import read_recipe
from fulcrum.report.source import read_run
from fulcrum.runs import open_run
from fulcrum.runs.evaluate import evaluate_run
from fulcrum.runs.learn import RIVALS, learning_cost, price_of_gain
from fulcrum.runs.learn import learn as learn_run
from fulcrum.task import Score, failed, right
from fulcrum.training.rows import ChatRow
from fulcrum.workers import spread
from leverage.world import write_world
from support.tiny import shared_model
from support.training import assert_same_weights

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),  # PEFT asks by an old name
    pytest.mark.slow,
]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_world(tmp_path)


def run_command(*arguments: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert not stopped.value.code


def test_the_adapter_is_plain_and_is_served_with_its_anchor(world: Path) -> None:
    run_command("train", "recipe.toml", "--output", "run")
    artifact = read_artifact(Path("run"))
    assert not list(artifact.folder.rglob("result.json")), "how long the training took is no part of the weights"
    base = AutoModelForCausalLM.from_pretrained(shared_model())
    ids = torch.arange(5, 40)[None]
    with torch.no_grad():
        before = base(ids).logits
        tuned = PeftModel.from_pretrained(base, artifact.folder / "adapter")
        assert not torch.allclose(before, tuned(ids).logits, atol=0.1)
    learned = json.loads(Path("run/leverage.json").read_text())
    assert set(learned["arms"]) == {"tell", "sft", "general-only"}
    tell, lines = learned["arms"]["tell"], (artifact.folder / "mix.jsonl").read_text().splitlines()
    assert len(lines) == tell["rows"] and tell["ledger"]["steps"] == -(-len(lines) // 8)
    assert tell["ledger"]["task_share"] == pytest.approx(0.5, abs=0.03)
    ours = [json.loads(line) for line in lines if '"source":"task"' in line]
    assert all(row["prompt"][0]["content"].startswith("parcel desk:\n") for row in ours)
    assert tell["ledger"]["anchor_seen"] > 0 == learned["arms"]["sft"]["ledger"]["anchor_seen"]
    assert learned["arms"]["general-only"]["ledger"]["task_rows"] == 0

    deployed = read_recipe(world).method.deploy(artifact, resolve)
    assert isinstance(deployed, AnchoredModel)
    (served,) = complete(deployed, [Request((user("n7 of u5: late p1"),), Sampling(max_tokens=8))])
    plain = resolve(f"hf:{shared_model()}?adapter={artifact.folder / 'adapter'}")
    (by_hand,) = complete(plain, [Request((user("parcel desk:\nn7 of u5: late p1"),), Sampling(max_tokens=8))])
    assert served.text == by_hand.text

    run_command("evaluate", "run")
    rows = json.loads(Path("run/evaluation.json").read_text())
    roles = {row["solver"]: row["role_of_solver"] for row in rows}
    assert roles.pop("sft") == "baseline" and roles.pop("tell") == "method"
    assert set(roles) == {"general-only", "tell without anchor", "untuned", "untuned + anchor", "few-shot@1"}
    assert rows[0]["solver"] == "sft"


def test_arms_that_share_a_training_are_measured_side_by_side(world: Path) -> None:
    flags = {"settings.anchor": "", "settings.controls": '["sft", "shuffle-only"]', "settings.shots": "0"}
    recipe = read_recipe(world, flags)
    with open_run(recipe, Path("run")) as run:
        learn_run(run)
        arms = read_json(run.folder / "leverage.json")["arms"]
        assert arms["tell"]["weights"] == arms["shuffle-only"]["weights"] != arms["sft"]["weights"]
        for _ in range(2):
            rows, results = evaluate_run(run)
        spent = learning_cost(run.folder)
    answers = {result.solver: [rollout.text for rollout in result.rollouts] for result in results}
    assert answers["tell"] == answers["shuffle-only"]
    dev = len(recipe.task.examples("dev"))
    assert (spent["actor"].calls, spent[RIVALS].calls) == (dev, 2 * dev), "sft also tries the length of the mix"
    assert f"Learning took {dev} calls" in (price_of_gain(spent, rows) or "")


def test_what_opens_the_answers_is_no_part_of_a_prompt(world: Path) -> None:
    flags = {"settings.anchor_place": "response", "settings.anchor": "the desk says\n# so:", "settings.controls": "[]"}
    recipe = read_recipe(world, flags)
    with open_run(recipe, Path("run")) as run:
        learn(run)
        names = {one.solver.name for one in recipe.method.contenders(run)}
    assert names == {"tell", "untuned", "few-shot@1"}
    card = Path("run/artifact/README.md").read_text()
    opened = "Every answer opens with this anchor:\n\n    the desk says\n    # so:\n\n`fulcrum serve` takes it off."
    assert opened in card


def test_what_a_judge_failed_to_judge_is_left_out_and_an_endless_answer_is_not() -> None:
    def rollouts(*scores: Score) -> SolverRollouts:
        said = [Rollout(f"q{number}", "tell", 0, 0, "x", (), score) for number, score in enumerate(scores)]
        return SolverRollouts("tell", "method", "task", "0", "dev", tuple(said))

    endless, unjudged = failed(Failure("truncated", "")), failed(Failure("rate_limit", ""), of="judge")
    assert scores_of(rollouts(right(), unjudged, endless)) == {"q0": 1.0, "q2": 0.0}
    with pytest.raises(RunError, match="rate_limit: no answer could be judged"):
        scores_of(rollouts(unjudged, unjudged))


def test_trained_side_by_side_it_ends_the_same(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def one_by_one(work, jobs, processes, hear):
        asked.append([job.name for job in jobs])
        return spread(work, jobs, processes, hear)

    monkeypatch.setattr("fulcrum.workers.spread", one_by_one)
    run_command("train", "recipe.toml", "--output", "one")
    assert not asked  # one thread is not shared
    for module in ("workers", "leverage.trial"):
        monkeypatch.setattr(f"fulcrum.{module}.processes_for", lambda jobs, parameters: 2)
    run_command("train", "recipe.toml", "--output", "two")
    assert len(asked) == 1 and len(asked[0]) >= 3
    ones, twos = (json.loads(Path(run, "leverage.json").read_text())["arms"] for run in ("one", "two"))
    assert [arm["mix_hash"] for arm in ones.values()] == [arm["mix_hash"] for arm in twos.values()]
    for one, two in zip(ones.values(), twos.values(), strict=True):
        assert_same_weights(Path("one", one["weights"]), Path("two", two["weights"]))
    times = read_run(Path("two")).stages
    trained = sum(seconds for stage, seconds in times if stage.startswith("train-ahead"))
    assert trained >= 0.9 * sum(arm["seconds"] for arm in twos.values()), "the time of training is that of a stage"
    run_command("train", "recipe.toml", "--output", "two")
    assert len(asked) == 1  # nothing is left to do


def test_tuning_every_weight_leaves_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = read_recipe(write_world(tmp_path, tuning='tuning = "full"'), {"settings.controls": "[]"})
    with open_run(recipe, tmp_path / "run") as run:
        learn(run)
        names = {one.solver.name for one in recipe.method.contenders(run)}
    assert "tell" in names
    artifact = read_artifact(tmp_path / "run")
    recipe.method.deploy(artifact, resolve).close()
    assert (artifact.folder / "model" / "model.safetensors").is_file()


def test_each_arm_differs_from_the_method_in_what_it_says(world: Path) -> None:
    anchor = Anchor("parcel desk:")
    with open_run(read_recipe(world), Path("run")) as run:
        bench = Bench(run)
        cell = bench.cell()
        mixes = {name: bench.mix(trials_of(bench, arm, cell, anchor)[0]) for name, arm in ARMS.items()}
    anchors = {name: {row.anchor for row in mix if row.slot.source == "task"} for name, mix in mixes.items()}
    sources = {name: {row.slot.source for row in mix} for name, mix in mixes.items()}
    both, order = {"task", "general"}, [row.slot for row in mixes["tell"]]
    assert anchors["tell"] == anchors["anchor-only"] == anchors["placebo-all"] == {anchor.text}
    assert anchors["shuffle-only"] == anchors["sft"] == {None}
    assert sources["tell"] == sources["sequential"] == both
    assert sources["sft"] == sources["anchor-only"] == {"task"} and sources["general-only"] == {"general"}
    assert [row.slot for row in mixes["shuffle-only"]] == [row.slot for row in mixes["placebo-random"]] == order
    assert {row.anchor for row in mixes["placebo-all"]} == {anchor.text}
    assert sorted(row.slot for row in mixes["sequential"]) == sorted(order)
    first_task = next(place for place, row in enumerate(mixes["sequential"]) if row.slot.source == "task")
    assert all(row.slot.source == "task" for row in mixes["sequential"][first_task:])
    (random_words,), (other,) = anchors["placebo-random"], anchors["placebo-other"]
    assert random_words and other and len({random_words, other, anchor.text}) == 3


def test_every_cap_is_tried_where_there_is_a_mix_and_none_where_there_is_not(world: Path) -> None:
    flags = {"settings.mix.task_share": "0.9", "settings.tune.repeat_caps": "[2, 5]", "settings.tune.sft_passes": "[4]"}
    with open_run(read_recipe(world, flags), Path("run")) as run:
        bench = Bench(run)
        cell = bench.cell()
        seen = [
            max(Counter(row.slot.row for row in bench.mix(trial) if row.slot.source == "task").values())
            for trial in trials_of(bench, ARMS["tell"], cell, Anchor("parcel desk:"))
        ]
        (plain, *_) = trials_of(bench, ARMS["sft"], cell, None)
    assert seen == [2, 5]
    assert plain.length == 4 * cell.task_rows


def test_the_plan_counts_every_training_that_is_tried(world: Path) -> None:
    tune = {"repeat_caps": "[5, 20, 60]", "learning_rates": "[1e-4, 3e-4]", "epochs": "[1, 2]", "sft_passes": "[3, 9]"}
    flags = {f"settings.tune.{name}": value for name, value in tune.items()}
    recipe = read_recipe(world, {**flags, "settings.controls": json.dumps([name for name in ARMS if name != "tell"])})
    with open_run(recipe, Path("run")) as run:
        bench = Bench(run)
        cell, method = bench.cell(), Exposure(500, 10.0)
        tried = [trials_of(bench, arm, cell, Anchor("parcel desk:"), method) for arm in ARMS.values()]
    planned = recipe.method.plan(recipe)[0]
    assert planned.calls == sum(map(len, tried)) * len(recipe.task.examples("dev"))


def test_an_anchor_is_written_where_none_is_given(world: Path) -> None:
    recipe = read_recipe(world, {"settings.anchor": "auto", "settings.controls": "[]"})
    with open_run(recipe, Path("run")) as run:
        learn(run)
        (folder,) = (run.folder / "stages").glob("anchor-*")
    found = json.loads((folder / "candidates.json").read_text())
    assert len(found) >= 3 and found[0]["separability"] == max(one["separability"] for one in found)
    assert read_artifact(Path("run")).facts["anchor"] == {"text": found[0]["text"], "place": "user"}


def test_after_a_cooldown_the_anchor_is_left_out_in_use(world: Path) -> None:
    flags = {"settings.dynamic.cooldown": "0.3", "settings.controls": "[]"}
    with open_run(read_recipe(world, flags), Path("run")) as run:
        learn(run)
        names = [one.solver.name for one in run.recipe.method.contenders(run)]
    assert read_artifact(Path("run")).facts["anchor"] is None
    assert "tell with anchor" in names


def test_what_cannot_work_is_said_in_one_line(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(*flags: str) -> str:
        with pytest.raises(SystemExit) as stopped:
            main(["train", "recipe.toml", "--output", "refused", *flags])
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("fulcrum: ")]
        assert stopped.value.code == 2 and len(lines) == 1
        return lines[0]

    assert "the anchor 'zq" in refused("--settings.anchor", "zq " * 300)
    assert "follow from mix" in refused("--settings.training.epochs", "3")
    assert "controls: tell is the method itself" in refused("--settings.controls", '["tell"]')
    assert "did you mean 'sft'" in refused("--settings.controls", '["stf"]')
    answers = "--settings.anchor_place", "response"
    assert "these cannot change" in refused(*answers, "--settings.dynamic.pool", '["a"]')
    assert "these cannot change" in refused(*answers, "--settings.dynamic.shorten", "true")
    assert "no anchor that could change" in refused("--settings.anchor", " ", "--settings.dynamic.cooldown", "0.2")


LONG = "late " * 300


def add(path: str, row: dict[str, str]) -> None:
    with Path(path).open("a") as file:
        file.write(json.dumps(row) + "\n")


def long_held_out_row() -> None:
    rows = [ChatRow((user(f"{LONG}{number}"),), "yes") for number in range(500)]
    first = min(rows, key=lambda row: content_hash(row.to_json()))  # the first rows by hash are held out
    add("general.jsonl", {"prompt": first.prompt[0].content, "completion": "yes"})


def long_dev_row() -> None:
    toml = Path("task.toml").read_text()
    toml = toml.replace('"rows.jsonl"', '{ train = "rows.jsonl", dev = "dev.jsonl" }').replace("shares =", "# shares =")
    Path("task.toml").write_text(toml)
    add("dev.jsonl", {"text": "short", "answer": "late"})
    add("dev.jsonl", {"text": LONG, "answer": "late"})


def full_general_row() -> None:
    counter = TokenCounter(str(shared_model()))
    words = next(n for n in range(300) if counter.sizes([ChatRow((user("late " * (n + 1)),), "yes")])[0].read > 256)
    add("general.jsonl", {"prompt": "late " * words, "completion": "yes"})


@pytest.mark.parametrize(
    ("lengthen", "arm", "flags", "message"),
    [
        (long_held_out_row, "sft", {}, r"1 of 6 held-out general rows are longer than the 256 tokens"),
        (long_dev_row, "sft", {}, r"1 of 2 dev rows are longer than the 256 tokens .*row 2 has"),
        (long_dev_row, "sft", {"anchor": "auto"}, r"1 of 2 dev rows are longer than the 256 tokens"),
        (None, "sft", {"dynamic.pool": json.dumps([LONG])}, r"the anchor 'late late .*' takes .* task rows fit"),
        (None, "placebo-other", {"other_anchor": LONG}, r"the anchor 'late late .*' takes .* task rows fit"),
        (full_general_row, "placebo-all", {}, r"the anchor 'parcel desk:' .* 1 of .* general \(placebo-all\) rows fit"),
    ],
)
def test_what_is_too_long_is_refused_before_anything_is_trained(
    world: Path, lengthen: Callable[[], None] | None, arm: str, flags: dict[str, str], message: str
) -> None:
    if lengthen:
        lengthen()
    arms = {"controls": f'["{arm}"]', "sweep.arms": f'["{arm}"]', "sweep.general_sizes": "[]"}
    recipe = read_recipe(world, {f"settings.{name}": value for name, value in (arms | flags).items()})
    for folder, work in (("run", learn), ("swept", run_sweep)):
        with open_run(recipe, Path(folder)) as run, pytest.raises(SettingsError, match=message):
            work(run)
    assert not [*Path("run").glob("stages/trial-*"), *Path("swept").glob("stages/trial-*")]


def test_the_mix_is_a_file_of_its_own_and_the_same_as_was_trained_on(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    controls = ("--settings.controls", "[]")
    run_command("leverage", "mix", "recipe.toml", "--output", "mix.jsonl", "--run", "run", *controls)
    said = json.loads(capsys.readouterr().out)
    run_command("train", "recipe.toml", "--output", "run", *controls)
    assert file_hash(Path("mix.jsonl")) == file_hash(Path("run/artifact/mix.jsonl"))
    assert json.loads(Path("run/leverage.json").read_text())["arms"]["tell"]["mix_hash"] == said["hash"]


def test_the_plan_of_a_sweep_trains_the_method_before_what_is_matched_to_it(world: Path) -> None:
    settings = read_recipe(world).settings
    plan = plan_sweep(settings, 20, 34)
    assert len(plan) == len(set(plan)) == 2 * (2 * 2 + 4)
    for place, planned in enumerate(plan):
        if planned.arm == "sft":
            assert plan[place - 1].arm == "tell" and plan[place - 1].cell == planned.cell
    with pytest.raises(SettingsError, match=r"sweep\.task_sizes: 8 rows wanted, there are 7"):
        plan_sweep(settings, 7, 34)


KILL_AFTER = """
import os, signal, sys
from fulcrum.runs import Run
from fulcrum.chat import Failure
from fulcrum.cli.main import main

left, log = int(sys.argv[1]), Run.log

def log_and_perhaps_die(run, event, **facts):
    global left
    log(run, event, **facts)
    if event in ("stage/start", "stage/finished"):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

Run.log = log_and_perhaps_die
main(sys.argv[2:])
"""


def killed(*arguments: str, after: int) -> bool:
    """Run a command in a process of its own, which is killed after so many marks of stages."""
    command = [sys.executable, "-c", KILL_AFTER, str(after), *arguments]
    return subprocess.run(command, capture_output=True).returncode == -signal.SIGKILL


def figures(folder: str) -> dict:
    """Return what a sweep found, but for how long it took."""
    found = json.loads(Path(folder, "sweep.json").read_text())
    for row in found["rows"]:
        del row["seconds"]
    return found


def test_a_sweep_with_a_budget_works_in_one_process_that_sees_all_calls(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fulcrum.leverage.sweep.processes_for", lambda jobs, parameters: 2)
    sizes = "--settings.sweep.general_sizes", "[]", "--settings.sweep.task_sizes", "[4, 8]"
    sweep = "leverage", "sweep", "recipe.toml", *sizes, "--settings.sweep.seeds", "[0]", "--output", "run"
    with pytest.raises(SystemExit) as stopped:
        main([*sweep, "--budget.calls", "30"])
    assert stopped.value.code
    with closing(CallStore(Path("run/calls.sqlite"))) as store:
        assert sum(paid.calls for paid in store.paid()) == 30


def test_a_sweep_killed_on_the_way_ends_as_if_it_had_not_been(world: Path) -> None:
    sweep = [
        "leverage",
        "sweep",
        "recipe.toml",
        "--settings.sweep.general_sizes",
        "[]",
        "--settings.sweep.seeds",
        "[0]",
    ]
    run_command(*sweep, "--output", "whole")
    assert killed(*sweep, "--output", "killed", after=5)
    assert not Path("killed/sweep.json").exists()
    run_command(*sweep, "--output", "killed")
    assert figures("killed") == figures("whole")
    found = figures("whole")
    assert [(row["arm"], row["task_rows"], row["seed"]) for row in found["rows"]][:2] == [("tell", 4, 0), ("sft", 4, 0)]
    assert len(found["factors"]["sft"]["at"]) == 2
    assert [row["arm"] for row in found["before"]["test"]] == ["untuned", "untuned + anchor", "few-shot@1"]
    stages = [json.loads(line) for line in Path("killed/events.jsonl").read_text().splitlines()]
    finished = [event["stage"] for event in stages if event["event"] == "stage/finished"]
    assert len(finished) == len(set(finished)), "a finished stage was done twice"
