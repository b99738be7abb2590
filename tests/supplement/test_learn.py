"""From a recipe to a generator that helps, measured, audited, deployed and tried elsewhere."""

import json
import math
import shutil
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from fulcrum.artifact import read_artifact
from fulcrum.calls import CallStore
from fulcrum.chat import Request, Sampling, resolve, user
from fulcrum.cli.main import main
from fulcrum.evaluation.results import read_results
from fulcrum.evaluation.table import read_evaluation
from fulcrum.hashing import file_hash
from fulcrum.methods import load_method
from fulcrum.recipe import read_recipe
from fulcrum.report.curves import read_charts
from fulcrum.runs import Run
from fulcrum.runs.catalog import reopen
from fulcrum.runs.evaluate import evaluate_run
from fulcrum.runs.learn import learn
from fulcrum.runs.plan import plan
from fulcrum.supplement.curve import curve
from fulcrum.supplement.settings import SupplementSettings
from fulcrum.supplement.steps import TRIALS
from fulcrum.supplement.transfer import transfer
from fulcrum.supplement.trials import read_trials
from fulcrum.training import sft
from fulcrum.training.rows import ChatRow
from fulcrum.training.settings import TrainingSettings
from supplement.colours import colour_generator, say_by_the_block, write_colours
from support.fault_server import FaultServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def rows_of(run: Path) -> dict[str, object]:
    return {row.solver: row for row in read_evaluation(run / "evaluation.json")}


def test_the_actor_gains_what_the_generator_learned(trained: Path) -> None:
    rows = rows_of(trained)
    alone, helped, shuffled, untrained = (
        rows[name] for name in ("direct", "supplemented", "shuffled supplement", "untrained generator")
    )
    assert helped.difference >= 0.4 and helped.difference_low > 0
    assert helped.mean > max(shuffled.mean, untrained.mean)
    assert helped.harm == 0
    assert rows["emptied block"].mean == rows["length-matched dummy"].mean == alone.mean
    assert {row.role_of_solver for row in rows.values()} == {"baseline", "method", "control", "ceiling"}
    assert rows["without answer and cot"].mean <= helped.mean
    assert set(rows) >= {"generator alone", "actor's own supplement", "static prompt", "self-consistency@2"}
    assert rows["wrong answer dose"].calls == 2 * helped.n
    assert rows["oracle pass@2"].mean >= rows["self-consistency@2"].mean
    with CallStore(trained / "calls.sqlite", read_only=True) as store:
        drawn = [call for call in store.calls(role="actor") if call.request["request"]["sampling"]["temperature"] == 1]
    assert len(drawn) == 2 * helped.n, "the ceiling is made of the draws that voted"


def test_an_actor_behind_an_endpoint_that_fails_now_and_then_is_lifted_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = write_colours(tmp_path, colour_generator(), rows=120)
    faults = ("server_error", "truncated_json", "drop", "rate_limit")
    with FaultServer(answer=say_by_the_block, fault_rate=0.2, faults=faults, retry_after=0) as server:
        actor = f"{server.url}?timeout=5&retries=0&backoff=0.01#tiny"
        flags = {"models.actor": actor, "settings.rounds": "1"}
        with Run(tmp_path / "run", read_recipe(recipe, flags)) as run:
            learn(run)
            evaluate_run(run)
        injected = server.injected.total()
    pools = [read_trials(path) for path in (tmp_path / "run").glob("stages/*/trials.jsonl")]
    failed = [trial for pool in pools for trial in pool if trial.calls and "failed" in trial.verdicts]
    rows = rows_of(tmp_path / "run")
    assert len(failed) + sum(row.failures for row in rows.values()) <= injected
    assert len(failed) > 10 and not any(trial.labels for trial in failed)
    helped = rows["supplemented"]
    assert helped.failures > 0 and helped.n + helped.failures >= len(read_recipe(recipe).task.examples("test"))
    assert helped.difference >= 0.4 and helped.difference_low > 0


def test_notes_for_every_turn_of_a_dialogue_are_learned_from_how_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = {"task": "python:colour_talks:task", "settings.when": "turn", "settings.rounds": "1"}
    recipe = read_recipe(write_colours(tmp_path, colour_generator()), flags)
    with Run(tmp_path / "run", recipe) as run:
        learn(run)
        evaluate_run(run)
    (pool,) = (read_trials(path) for path in (tmp_path / "run").glob("stages/warm-start-pool-*/trials.jsonl"))
    assert {tuple(len(one.since) for one in trial.written) for trial in pool} == {(0,), (2,)}, "one note a dialogue"
    rows = rows_of(tmp_path / "run")
    assert rows["supplemented"].difference >= 0.2 and rows["supplemented"].difference_low > 0
    assert rows["supplemented"].mean > max(rows["shuffled supplement"].mean, rows["untrained generator"].mean)
    assert "self-consistency@2" not in rows, "a dialogue has no answer to vote on"
    card = (run.artifact / "README.md").read_text()
    assert "writes a note before every turn" in card and "usable turns" in card


def test_the_curve_tells_every_round(trained: Path) -> None:
    curve = json.loads((trained / "artifact" / "rounds.json").read_text())
    assert [one["round"] for one in curve] == [0, 1, 2]
    assert all(one["actor/calls"] > before["actor/calls"] for before, one in pairwise(curve))
    for one in curve:
        assert 0 < one["labels/usable_share"] <= 1 and one["rows"] > 0 and one["dev/n"] > 0
        gain = 1000 * (one["dev/mean"] - one["dev/alone"]) / one["actor/calls"]
        assert one["dev/gain_per_1000_calls"] == pytest.approx(gain)
    chosen = json.loads((trained / "artifact" / "artifact.json").read_text())["facts"]["chosen"]
    assert curve[chosen]["dev/difference"] == max(one["dev/difference"] for one in curve)
    assert curve[0]["dev/mean"] > curve[0]["dev/alone"] + 0.3
    (file,) = trained.glob("stages/warm-start-pool-*/trials.jsonl")
    forms = Counter(one.supplement.form for trial in read_trials(file) for one in trial.written)
    entropy = math.log2(forms.total()) - sum(n * math.log2(n) for n in forms.values()) / forms.total()
    assert curve[0]["pool/form_entropy"] == pytest.approx(entropy)
    assert 2.5 < entropy <= math.log2(9)  # of nine forms, those that promise most


def test_the_curve_counts_the_calls_that_were_paid(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained.parent)
    curve = json.loads((trained / "artifact" / "rounds.json").read_text())
    learned = {question.messages[-1].content for question in reopen(trained).task.questions("train")}
    with CallStore(trained / "calls.sqlite", read_only=True) as store:
        asked = [call.request["request"]["messages"][-1]["content"] for call in store.calls(role="actor")]
    paid = sum(text.partition("\n")[0] in learned for text in asked)
    assert curve[-1]["actor/calls"] == paid < len(asked)


def test_a_report_can_draw_the_curve(trained: Path) -> None:
    charts = {chart.y_label: [line.name for line in chart.series] for chart in read_charts(trained)}
    assert charts["dev score, points"] == ["supplemented", "actor alone"]
    assert "entropy of forms, bits" in charts


def test_the_store_holds_a_pool_for_every_round(trained: Path) -> None:
    pools = {path.parent.name.rpartition("-")[0]: read_trials(path) for path in trained.glob("stages/*/trials.jsonl")}
    assert set(pools) == {"alone", "warm-start-pool", "round-1-pool", "round-2-pool"}
    assert {trial.asked for trial in pools["round-1-pool"]} >= {"cot", "own", "concat"}
    assert {trial.asked for trial in pools["round-2-pool"]} == {"free"}


def test_what_is_deployed_is_what_was_evaluated(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained.parent)
    artifact = read_artifact(trained)
    rewriter = load_method("supplement").deploy(artifact, resolve)
    task = read_recipe(trained.parent / "recipe.toml").task
    (evaluated,) = [result for result in read_results(trained) if result.solver == "supplemented"]
    requests = [Request(task.open(rollout.question_id).messages) for rollout in evaluated.rollouts]
    rewritten = rewriter.rewrite(requests)
    assert [one.added for one in rewritten] == [rollout.traces[0]["supplement"] for rollout in evaluated.rollouts]
    assert all(f"<supplement>\n{one.added}\n</supplement>" in one.request.messages[-1].content for one in rewritten)
    rewriter.close()


def test_the_card_says_when_and_where_notes_stand(trained: Path) -> None:
    card = (trained / "artifact" / "README.md").read_text()
    assert "writes a note for each question." in card and "in a block that says it may be wrong." in card
    assert "usable questions" in card


def test_the_artifact_names_no_place_of_this_machine(trained: Path) -> None:
    for file in (trained / "artifact").rglob("*"):
        if file.suffix in (".json", ".md", ".txt"):
            assert str(trained.parent) not in file.read_text(), file


def test_learning_again_repeats_nothing(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained.parent)
    before = file_hash(trained / "artifact")
    with Run(trained, read_recipe(trained.parent / "recipe.toml")) as run:
        learn(run)
        assert run.ledger.total().calls == 0
    assert file_hash(trained / "artifact") == before


@pytest.fixture
def copy(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run, to be written into."""
    shutil.copytree(trained.parent, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy" / "run"


def test_transfer_stands_beside_home(trained: Path, copy: Path) -> None:
    with Run(copy, reopen(copy)) as run:
        home, deaf = transfer(run, ["python:colour_bots:deaf"], [])
    assert (home.trained_for, deaf.trained_for) == (True, False)
    assert home.difference == pytest.approx(rows_of(trained)["supplemented"].difference)
    assert home.control == pytest.approx(rows_of(trained)["shuffled supplement"].difference)
    assert deaf.difference == 0 and deaf.helped == deaf.alone
    assert json.loads((copy / "transfer" / "matrix.json").read_text())[1]["model"] == "python:colour_bots:deaf"


def fulcrum(*arguments: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0


def test_the_commands_print_audit_and_matrix(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fulcrum("supplement", "audit", "run")
    said = capsys.readouterr().out
    assert "Leak:" in said and "Use: supplements change" in said and "Dose:" in said and "Forms:" in said
    fulcrum("supplement", "transfer", "run", "--actor", "python:colour_bots:wrong", "--limit", "4", "--json")
    cells = json.loads(capsys.readouterr().out)
    assert [(cell["model"], cell["n"]) for cell in cells] == [
        ("python:colour_bots:by_the_block", 4),
        ("python:colour_bots:wrong", 4),
    ]


def test_the_curve_measures_each_generator_on_the_same_questions(
    trained: Path, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rounds = json.loads((trained / "artifact" / "rounds.json").read_text())
    with Run(copy, reopen(copy)) as run:
        points = curve(run)
        assert run.ledger.snapshot()["generator"].calls == points[0].n, "all but the untrained generator's are stored"
    assert [point.generator for point in points] == ["none", "untrained", "the warm start"] + [
        f"round {one['round']}" for one in rounds[1:]
    ]
    assert {point.n for point in points} == {rounds[0]["dev/n"]}
    for point, one in zip(points[2:], rounds, strict=True):
        assert point.mean and point.gain and point.step
        assert (point.mean.estimate, point.gain.estimate) == (one["dev/mean"], pytest.approx(one["dev/difference"]))
        assert (point.silent, point.form_entropy) == (one["dev/silent"], one["dev/form_entropy"])
    for before, point in pairwise(points[1:]):
        assert point.step.estimate == pytest.approx(point.mean.estimate - before.mean.estimate)
    fulcrum("supplement", "curve", "run", "--split", "test", "--limit", "5", "--json")
    told = json.loads(capsys.readouterr().out)
    assert {point["n"] for point in told} == {5} and sum(point["chosen"] for point in told) == 1
    fulcrum("supplement", "curve", "run", "--split", "test", "--limit", "5")
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.split("*")[0] in {point.generator for point in points} for line in lines if "*" in line) == 1
    assert max(map(len, lines)) <= 80 and "…" not in "".join(lines)


def test_the_plan_bounds_what_was_spent(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained.parent)
    recipe = reopen(trained)
    planned = sum(row.calls for row in plan(recipe).rows if row.role == "actor")
    with CallStore(trained / "calls.sqlite", read_only=True) as store:
        paid = sum(row.calls for row in store.paid() if row.role == "actor")
    assert 0.2 * planned < paid <= planned
    assert recipe.settings_as(SupplementSettings).rounds == 2


@pytest.mark.parametrize("trainer", ["sft", "grpo"])
def test_the_other_trainers_learn_from_the_same_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trainer: str
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = {"settings.trainer": trainer, "settings.rounds": "1"}
    flags |= {f"settings.policy.{key}": value for key, value in POLICY.items()}
    with Run(tmp_path / "run", read_recipe(write_colours(tmp_path, colour_generator()), flags)) as run:
        learn(run)
    first, last = json.loads((tmp_path / "run" / "artifact" / "rounds.json").read_text())
    assert last["dev/mean"] >= first["dev/alone"] + 0.3
    assert last["actor/calls"] > first["actor/calls"]
    usable = [line.points for chart in read_charts(tmp_path / "run") for line in chart.series if "usable" in line.name]
    if trainer == "grpo":
        assert "labels/usable_share" not in last
        assert last["actor/calls"] - first["actor/calls"] <= 3 * 16, "three steps of sixteen, the same words once"
    assert [len(points) for points in usable] == [1 if trainer == "grpo" else 2]


def test_grpo_writes_for_every_turn_of_a_dialogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    flags = {"task": "python:colour_talks:task", "settings.when": "turn"}
    flags |= {"settings.trainer": "grpo", "settings.rounds": "1"}
    flags |= {f"settings.policy.{key}": value for key, value in POLICY.items()}
    with Run(tmp_path / "run", read_recipe(write_colours(tmp_path, colour_generator()), flags)) as run:
        learn(run)
    first, last = json.loads((tmp_path / "run" / "artifact" / "rounds.json").read_text())
    assert last["rows"] == 2 * 25, "both turns of each dialogue"
    assert last["dev/mean"] >= first["dev/alone"] + 0.1 and last["actor/calls"] > first["actor/calls"]


POLICY = {"tuning": "full", "steps": "3", "batch_size": "16", "generations": "4", "learning_rate": "1e-4"}


def test_rounds_of_sft_begin_anew_and_learn_from_all_winners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A question's winners of the warm start are learned again beside those of the round, in a training of its own."""
    trainings: list[tuple[str, set[str], int | None]] = []

    def finetune(model: str, rows: list[ChatRow], output: Path, settings: TrainingSettings, **options: object) -> None:
        trainings.append((model, {row.response for row in rows}, settings.steps))
        real(model, rows, output, settings, **options)

    real = sft.finetune
    monkeypatch.setattr(sft, "finetune", finetune)
    monkeypatch.chdir(tmp_path)
    flags = {"settings.trainer": "sft", "settings.rounds": "1"}
    flags |= {f"settings.imitation.{key}": value for key, value in IMITATION.items()}
    generator = colour_generator()
    with Run(tmp_path / "run", read_recipe(write_colours(tmp_path, generator), flags)) as run:
        learn(run)
        pools = sorted((tmp_path / "run" / "stages").glob("*-pool-*"))  # round 1, warm start
        won = [{one.written[0].supplement.text for one in read_trials(pool / TRIALS) if one.labels} for pool in pools]
    (first, _, epochs), (again, learned, steps) = trainings
    assert first == again == str(generator)
    assert (epochs, steps) == (None, 5)
    assert learned & (won[0] - won[1]) and learned & (won[1] - won[0])


IMITATION = {"tuning": "full", "steps": "5", "batch_size": "8", "learning_rate": "1e-3"}


def test_an_untouched_run_is_told_to_learn_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    from fulcrum.errors import RunError

    with (
        Run(tmp_path / "run", read_recipe(write_colours(tmp_path, colour_generator()))) as run,
        pytest.raises(RunError, match="holds no artifact"),
    ):
        run.recipe.method.contenders(run)


def test_a_request_without_a_user_goes_through_as_it_came(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained.parent)
    rewriter = load_method("supplement").deploy(read_artifact(trained), resolve)
    odd, plain = Request((), Sampling()), Request((user("7 ax"),), Sampling())
    first, second = rewriter.rewrite([odd, plain])
    assert first.request == odd and first.added is None
    assert second.added is not None
