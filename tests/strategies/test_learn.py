"""The loop, with a teacher whose strategies really help, hurt, or do nothing."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fulcrum.atomic import read_json
from fulcrum.chat import Tool
from fulcrum.chat.parsing import take_tool_calls
from fulcrum.errors import BudgetSpent, RunError, SettingsError
from fulcrum.evaluation.results import read_results
from fulcrum.evaluation.solver import Turn
from fulcrum.methods import load_method
from fulcrum.recipe import Recipe, check_recipe
from fulcrum.runs import Run
from fulcrum.runs.evaluate import evaluate_run
from fulcrum.runs.learn import learn, learning_cost, price_of_gain
from fulcrum.settings import Document
from fulcrum.strategies.bench import Bench
from fulcrum.strategies.effects import Effects, measure_library
from fulcrum.strategies.finetuned import REPLIES
from fulcrum.strategies.fold import Strategy
from fulcrum.strategies.library import Library
from fulcrum.strategies.logs import read_logs, take_in
from fulcrum.strategies.metrics import break_even, metric_rows
from fulcrum.strategies.records import Advice, Decided
from fulcrum.strategies.trials import Trial
from fulcrum.task.load import load_task
from fulcrum.training.rows import ChatRow, read_rows
from support.tiny import shared_model

sys.path.insert(0, str(Path(__file__).parent))

SETTINGS = {"rounds": 2, "dialogues": 30, "effect_dialogues": 0, "gap_dialogues": 0, "serve": "proposed"}


def recipe(teacher: str = "good_teacher", budget: dict[str, int] | None = None, **settings: object) -> Recipe:
    models = {"student": "python:toy:student", "teacher": f"python:toy:{teacher}"}
    data = {"method": "strategies", "task": "python:toy:task", "models": models, "settings": {**SETTINGS, **settings}}
    return check_recipe(Document(data | ({"budget": budget} if budget else {})))


def learned(folder: Path, given: Recipe) -> Library:
    with Run(folder, given) as run:
        learn(run)
    return Library(folder / "artifact" / "library.jsonl")


def by_do(library: Library) -> dict[str, list[Strategy]]:
    found: dict[str, list[Strategy]] = {}
    for strategy in library.strategies():
        found.setdefault(strategy.advice.do, []).append(strategy)
    return found


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("strategies") / "run"
    learned(folder, recipe())
    yield folder


def test_what_helps_is_kept_and_what_hurts_or_idles_is_not(run_folder: Path) -> None:
    found = by_do(Library(run_folder / "artifact" / "library.jsonl"))
    (good,), (bad,), (idle,) = found["say sorry"], found["shout loudly"], found["hum a tune"]
    effect = good.effects["state"]
    assert good.status == "proposed" and effect.n == 30 and effect.better >= 6, "tried in all dialogues"
    assert effect.estimate == pytest.approx(0.4 * effect.better / effect.n)
    assert bad.status == "rejected" and bad.effects["state"].estimate == pytest.approx(-0.3)
    assert idle.status == "rejected" and idle.effects["state"].estimate == 0
    assert "0 of 60 dialogues better with it, 0 worse" in (idle.decided.reason if idle.decided else "")


def test_a_strategy_remembers_what_it_was_learned_from(run_folder: Path) -> None:
    (good,) = by_do(Library(run_folder / "artifact" / "library.jsonl"))["say sorry"]
    evidence = good.evidence
    assert "upset" in evidence.messages[-1].content
    assert (evidence.student, evidence.teacher) == ("hello.", "hello. sorry. at length.")
    assert evidence.verdict.startswith("outcome of the dialogue: 1.000 after the teacher's")
    assert evidence.models["teacher"] == "python:toy:good_teacher"
    assert "pupil" in evidence.prompt[0].content


def test_the_last_round_is_the_students_alone_and_the_teacher_says_nothing_new(run_folder: Path) -> None:
    first, last = read_json(run_folder / "artifact" / "rounds.json")
    assert (first["beta"], last["beta"]) == (1.0, 0.0)
    assert first["novelty"] == 1.0 and last["novelty"] == 0.0
    assert first["covered"] == 0.0 and last["covered"] == pytest.approx(1 / 3, abs=0.15)
    assert (first["judged/student"], last.get("strategies/accepted", 0)) == (0, 0)


def test_learning_ends_when_the_student_has_caught_up_with_the_teacher(tmp_path: Path) -> None:
    learned(tmp_path / "run", recipe("modest_teacher", rounds=3, gap_dialogues=60))
    (only,) = read_json(tmp_path / "run" / "artifact" / "rounds.json")
    assert only["caught_up"] and only["gap"][0] == 0
    learned(tmp_path / "behind", recipe("idle_teacher", gap_dialogues=60))
    rounds = read_json(tmp_path / "behind" / "artifact" / "rounds.json")
    assert [one["caught_up"] for one in rounds] == [False, False]
    assert all(one["student"] == 0.5 and one["gap"][1] > 0 for one in rounds)
    drawn = read_json(tmp_path / "run" / "artifact" / "curve.json")
    (by_size,) = (point for point in drawn if point["x_label"] == "strategies kept")
    assert (by_size["x"], by_size["y"]) == (1, pytest.approx(100 * (0.5 + 0.4 / 3)))


def test_a_teacher_with_nothing_new_to_say_leaves_the_student_one_more_round(tmp_path: Path) -> None:
    learned(tmp_path / "run", recipe(rounds=5))
    rounds = read_json(tmp_path / "run" / "artifact" / "rounds.json")
    assert [(one["round"], one["beta"]) for one in rounds] == [(1, 1.0), (2, 0.75), (5, 0.0)]
    assert [one["novelty"] for one in rounds] == [1.0, 0.0, 0.0]


def test_a_teacher_with_nothing_to_say_at_all_leaves_an_empty_library(tmp_path: Path) -> None:
    with Run(tmp_path / "run", recipe("mute_teacher", rounds=3)) as run:
        learn(run)
        rounds = read_json(run.artifact / "rounds.json")
    assert [row["round"] for row in rounds] == [1, 3] and not any(row["suggestions"] for row in rounds)
    assert Library(tmp_path / "run" / "artifact" / "library.jsonl").strategies() == []


@pytest.mark.parametrize(("written", "novelty", "held"), [("[]", 0.0, [1, 3]), ("be nice", None, [1, 2, 3])])
def test_what_cannot_be_read_is_not_taken_for_nothing_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, novelty: float | None, held: list[int]
) -> None:
    monkeypatch.setenv("TEACHER_WRITES", written)
    learned(tmp_path / "run", recipe("vague_teacher", rounds=3))
    rounds = read_json(tmp_path / "run" / "artifact" / "rounds.json")
    assert [row["round"] for row in rounds] == held and {row["novelty"] for row in rounds} == {novelty}
    assert all(row["judged/teacher"] for row in rounds)
    shown = (tmp_path / "run" / "artifact" / "README.md").read_text()
    assert ("| unknown |" in shown) == (novelty is None)


def test_a_round_whose_calls_to_the_teacher_all_failed_is_not_done_and_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEACHER_WRITES", "")
    with pytest.raises(RunError, match=r"requests for a strategy failed \(server\)"):
        learned(tmp_path / "run", recipe("vague_teacher"))
    monkeypatch.delenv("TEACHER_WRITES")
    library = learned(tmp_path / "run", recipe("vague_teacher"))
    assert by_do(library)["say sorry"][0].effects["state"].helps
    whole = learned(tmp_path / "whole", recipe("vague_teacher"))
    assert library.path.read_bytes() == whole.path.read_bytes()


def test_dialogues_that_people_held_teach_too(tmp_path: Path) -> None:
    def held(customer: str, person: str) -> str:
        said = [("system", "you work at a desk."), ("user", customer), ("assistant", person)]
        return json.dumps({"messages": [{"role": role, "content": text} for role, text in said]})

    logs = tmp_path / "logs.jsonl"
    lines = [held("i am calm.", "hello."), held("i am upset.", "hello. sorry."), held("so upset.", "hello. sorry.")]
    logs.write_text("\n".join(lines))
    library = Library(tmp_path / "library.jsonl")
    with Run(tmp_path / "run", recipe("modest_teacher")) as run:
        (id,), asked = take_in(Bench(run), library, read_logs(logs), "ada")
        assert (len(asked.suggestions), asked.unreadable, asked.failed) == (2, 0, 0)
        assert take_in(Bench(run), library, read_logs(logs), "ada")[0] == []  # known by now
    strategy = library.strategy(id)
    assert strategy.advice.do == "say sorry" and strategy.status == "proposed" and not strategy.effects
    evidence = strategy.evidence
    assert (evidence.source, evidence.dialogue) == ("logs", "logs.jsonl:2")
    assert (evidence.student, evidence.teacher) == ("hello.", "hello. sorry.")
    assert library.history(id)[0].who == "ada" and strategy.findings is not None


def test_strategies_of_one_import_are_checked_against_each_other(tmp_path: Path) -> None:
    dos = ["greet them by their first name", "do not greet them by their first name"]
    lines = [json.dumps({"strategy": {"scenario": "any dialogue", "do": do}}) for do in dos]
    (tmp_path / "logs.jsonl").write_text("\n".join(lines))
    library = Library(tmp_path / "library.jsonl")
    with Run(tmp_path / "run", recipe()) as run:
        ids, _ = take_in(Bench(run), library, read_logs(tmp_path / "logs.jsonl"), "ada")
        first, second = map(library.strategy, ids)
        assert not first.blocked and [finding.check for finding in second.blocked] == ["contradiction"]
        assert not Bench(run).examine(library, first).blocked, "what is blocked itself stands against nothing"
        library.decide(first.id, "rejected", who="ada", reason="no")
        assert not Bench(run).examine(library, second).blocked


def test_the_student_of_a_log_is_told_what_every_agent_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look_up = Tool("look_up", "finds an order", {"type": "object"})
    with_tools = replace(load_task("python:toy:task"), tools=(look_up,))
    monkeypatch.setattr("toy.task", lambda: with_tools)
    logs = tmp_path / "logs.jsonl"
    said = [("assistant", "welcome."), ("user", "i am upset."), ("assistant", "hello. sorry.")]
    logs.write_text(json.dumps({"messages": [{"role": role, "content": text} for role, text in said]}))
    with Run(tmp_path / "run", recipe("modest_teacher")) as run:
        take_in(Bench(run), Library(tmp_path / "library.jsonl"), read_logs(logs), "ada")
        (asked,) = (call.request["request"] for call in run.store.calls(role="student"))
    assert [message["role"] for message in asked["messages"]] == ["system", "assistant", "user"]
    assert "say no to refunds" in asked["messages"][0]["content"]
    assert asked["tools"] == [look_up.to_json()]


def test_what_the_library_is_better_without_is_retired(tmp_path: Path) -> None:
    library = learned(tmp_path / "run", recipe())
    (good,), (bad,) = by_do(library)["say sorry"], by_do(library)["shout loudly"]
    twin = library.propose(bad.advice.model_copy(update={"scenario": "any dialogue"}), who="ada")
    with Run(tmp_path / "other", recipe(effect_dialogues=30)) as run:
        measure_library(Bench(run), library, [good, twin])
    assert library.strategy(good.id).status == "proposed"
    retired = library.strategy(twin.id)
    assert retired.status == "retired" and retired.effects["leave-one-out"].harms
    assert "better without it" in (retired.decided.reason if retired.decided else "")


def test_alone_a_strategy_is_shown_where_it_is_shown_in_its_library(tmp_path: Path) -> None:
    library = Library(tmp_path / "library.jsonl")
    bad, *others = (
        library.propose(Advice(scenario=f"dev {mood}", do=do), who="ada")
        for mood, do in {"upset": "shout loudly", "lost": "wait", "late": "hum", "wet": "sing"}.items()
    )
    with Run(tmp_path / "run", recipe()) as run:
        effects = Effects(Bench(run), 30)
        alone, _ = effects.of(bad, [bad])
        among, out = effects.of(bad, [bad, *others])
    assert alone.estimate == pytest.approx(-0.3), "every dialogue holds one of the two words"
    assert (among.measure, among.estimate) == ("on-off", pytest.approx(-0.09))
    assert (out.measure, out.estimate) == ("leave-one-out", pytest.approx(-0.09))


def test_advice_that_helps_here_and_hurts_there_is_narrowed(tmp_path: Path) -> None:
    found = by_do(learned(tmp_path / "run", recipe("broad_teacher", dialogues=60, trial_dialogues=40)))
    broad, narrow = found["talk at length"]
    assert broad.status == "rejected"
    assert narrow.status == "proposed" and narrow.parents == (broad.id,)
    assert narrow.advice.scenario == "upset" and narrow.effects["state"].worse == 0


def test_a_known_strategy_that_was_called_for_and_not_found_gets_a_wider_scenario(tmp_path: Path) -> None:
    library = learned(tmp_path / "run", recipe("narrow_teacher", rounds=3))
    (good,) = by_do(library)["say sorry"]
    assert [one.scenario for one in library.versions(good.id)] == ["an angry customer", "an angry customer | upset"]
    assert good.status == "proposed" and good.effects["state"].helps and good.findings is not None
    rounds = read_json(tmp_path / "run" / "artifact" / "rounds.json")
    assert [one.get("strategies/widened/yes", 0) for one in rounds] == [0, 1, 0]
    assert rounds[1]["covered"] == 0 and rounds[2]["covered"] > 0


def test_what_applies_everywhere_gets_no_wider_scenario_where_others_crowd_it_out(tmp_path: Path) -> None:
    settings = {"dialogues": 60, "trial_dialogues": 40, "retrieval": {"top_k": 1}}
    library = learned(tmp_path / "run", recipe("crowding_teacher", **settings))
    (good,), (_, narrow) = by_do(library)["say sorry"], by_do(library)["talk at length"]
    assert narrow.advice.scenario == "upset" and narrow.status == "proposed", "it takes the one place"
    assert [one.scenario for one in library.versions(good.id)] == ["any dialogue"]


def test_what_failed_its_trial_is_tried_again_when_it_is_suggested_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One whose first trial showed nothing is kept after the second; one that hurts is rejected for good."""
    tried: list[Trial] = []

    def accepted(trial: Trial, alpha: float) -> bool:
        tried.append(trial)
        return len(tried) > 3 and first_accepted(trial, alpha)

    first_accepted = Trial.accepted
    monkeypatch.setattr(Trial, "accepted", accepted)
    library = learned(tmp_path / "run", recipe(rounds=3))
    (good,), (bad,) = by_do(library)["say sorry"], by_do(library)["shout loudly"]
    assert [event.kind for event in library.history(good.id) if isinstance(event, Decided)] == ["rejected", "reopened"]
    assert good.status == "proposed" and good.effects["state"].helps and good.version == 1
    assert bad.status == "rejected"
    rounds = read_json(tmp_path / "run" / "artifact" / "rounds.json")
    assert rounds[1]["strategies/again/yes"] == 1


def test_what_failed_in_two_wordings_is_tried_again_as_one(tmp_path: Path) -> None:
    found = by_do(learned(tmp_path / "run", recipe("humming_teacher")))
    (one,), (other,) = found["hum a tune"], found["hum a tune for the customer"]
    merged, main = sorted((one, other), key=lambda strategy: strategy.merged_into is None)
    assert (main.status, merged.merged_into) == ("rejected", main.id)
    assert "0 of 60 dialogues better with it" in (main.decided.reason if main.decided else "")


def test_two_wordings_of_one_strategy_are_put_together(tmp_path: Path) -> None:
    found = by_do(learned(tmp_path / "run", recipe("wordy_teacher")))
    (one,), (other,) = found["say sorry"], found["say sorry to the customer"]
    kept, merged = sorted((one, other), key=lambda strategy: strategy.status)
    assert (kept.status, merged.status, merged.merged_into) == ("proposed", "retired", kept.id)
    assert kept.effects["state"].better >= 6 and not merged.effects


def test_of_two_that_help_and_contradict_each_other_one_is_kept(tmp_path: Path) -> None:
    found = by_do(learned(tmp_path / "run", recipe("fickle_teacher", rounds=1)))
    (good,), (opposite,) = found["say sorry"], found["do not only say sorry"]
    assert good.status == "proposed" and good.effects["state"].helps
    assert opposite.status == "rejected" and opposite.effects["state"].helps, "both help, each alone"
    assert [finding.text for finding in opposite.blocked] == [f"{good.id} says the opposite: {good.advice.guidance}"]
    (round_,) = read_json(tmp_path / "run" / "artifact" / "rounds.json")
    assert (round_["strategies/accepted"], round_["strategies/blocked"]) == (1, 1)


def test_what_the_teacher_calls_is_learnt_as_a_call(tmp_path: Path) -> None:
    learned(tmp_path / "run", recipe("booking_teacher", rounds=1))
    (file,) = (tmp_path / "run" / "stages").glob(f"round-1-*/{REPLIES}")
    rows = read_rows(file, ChatRow)
    assert {tuple(tool.name for tool in row.tools) for row in rows} == {("refund",)}, "as the student is offered"
    replies = [take_tool_calls(row.response, "c") for row in rows]
    assert {(text, *((call.name, call.arguments) for call in calls)) for text, calls in replies} == {
        ("hello.",),
        ("hello. sorry.", ("refund", '{"order": 5}')),
    }


@pytest.mark.slow
def test_a_student_tuned_on_the_teachers_replies_stands_beside_the_library(tmp_path: Path) -> None:
    training = {"tuning": "full", "learning_rate": 1e-2, "epochs": 40, "batch_size": 8}
    models = {"student": f"hf:{shared_model()}", "teacher": "python:toy:good_teacher"}
    settings = {**SETTINGS, "rounds": 1, "dialogues": 60, "finetune": True, "training": training}
    data = {"method": "strategies", "task": "python:toy:task", "models": models, "settings": settings}
    given = check_recipe(Document(data | {"budget": {"failure_share": 1.0}}))  # untrained, it never stops
    learned(tmp_path / "run", given)
    with Run(tmp_path / "run", given) as run:
        rows, _ = evaluate_run(run)
    tuned = next(row for row in rows if row.solver == "fine-tuned")
    assert tuned.role_of_solver == "control" and tuned.failures == 0
    assert tuned.mean > 0.55, "it is sorry where the teacher is, in other dialogues too"


def test_the_method_beats_its_controls_and_the_metrics_say_so(run_folder: Path, tmp_path: Path) -> None:
    with Run(run_folder, recipe()) as run:
        rows, _ = evaluate_run(run)
    means = {row.solver: row.mean for row in rows}
    assert means["retrieved"] == pytest.approx(0.5 + 0.4 / 3)
    assert means["student"] == means["generic-advice"] == means["shuffled"] == pytest.approx(0.5)
    assert means["teacher"] == pytest.approx(0.5 + 0.5 / 3)
    results = read_results(run_folder)
    success = {row.solver: row for row in metric_rows(results) if row.metric == "success"}
    difference = success["retrieved"].difference
    assert difference is not None and difference.estimate == pytest.approx(1 / 3) and difference.low > 0
    cost = learning_cost(run_folder)
    assert set(cost) == {"student", "teacher"} and cost["teacher"].calls > 0
    price = price_of_gain(cost, rows)
    assert price is not None and price.endswith("calls for each point gained.")
    paid = break_even(run_folder, results)
    with Run(run_folder, recipe()) as run:
        learn(run)
    assert learning_cost(run_folder) == cost, "an evaluation is no part of learning"
    assert paid.unit == "seconds" and paid.dialogues == pytest.approx(paid.learning / 0.1, rel=0.01)
    assert break_even(tmp_path, results).dialogues == 0, "what people wrote took no learning"


def test_what_people_decided_outlives_the_same_command(tmp_path: Path) -> None:
    library = learned(tmp_path / "run", recipe())
    (good,) = by_do(library)["say sorry"]
    library.decide(good.id, "approved", who="ada")
    assert learned(tmp_path / "run", recipe()).strategy(good.id).status == "approved"


def test_only_what_a_person_approved_is_served(tmp_path: Path) -> None:
    given = recipe(serve="approved")
    library = learned(tmp_path / "run", given)
    with Run(tmp_path / "run", given) as run:
        with pytest.raises(RunError, match="1 wait for review"):
            given.method.contenders(run)
        turn = __import__("toy").task().questions("test")[0]
        (good,) = by_do(library)["say sorry"]
        library.decide(good.id, "approved", who="ada")
        after = {c.solver.name: c.solver for c in given.method.contenders(run)}
        alone, served = (after[name].answer([Turn(turn, turn.messages)])[0] for name in ("student", "retrieved"))
    assert alone.completion.text == "hello."
    assert served.completion.text == "hello. sorry." and served.trace["strategies"][0]["id"] == good.id


def test_the_artifact_rewrites_requests_as_the_solver_did(tmp_path: Path) -> None:
    from fulcrum.artifact import read_artifact
    from fulcrum.chat import Request, resolve

    given = recipe(serve="approved")
    library = learned(tmp_path / "run", given)
    artifact = read_artifact(tmp_path / "run")
    with pytest.raises(RunError, match="no strategy is approved"):
        load_method("strategies").deploy(artifact, resolve)
    (good,) = by_do(library)["say sorry"]
    library.decide(good.id, "approved", who="ada")
    rewriter = load_method("strategies").deploy(artifact, resolve)
    upset, calm = (Request(question.messages) for question in __import__("toy").task().questions("test")[:2])
    helped, left = rewriter.rewrite([upset, calm])  # pyright: ignore[reportAttributeAccessIssue]
    assert helped.added == "when the customer is upset, say sorry."
    assert helped.added in helped.request.messages[0].content
    assert helped.facts["strategies"][0]["id"] == good.id
    assert left.request == calm and left.added is None


def test_the_same_recipe_gives_the_same_library_byte_for_byte(run_folder: Path, tmp_path: Path) -> None:
    again = learned(tmp_path / "run", recipe())
    assert again.path.read_bytes() == (run_folder / "artifact" / "library.jsonl").read_bytes()


def test_a_budget_stops_it_and_more_budget_continues_to_the_same_library(run_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BudgetSpent):
        learned(tmp_path / "run", recipe(budget={"calls": 70}))
    library = learned(tmp_path / "run", recipe())
    assert library.path.read_bytes() == (run_folder / "artifact" / "library.jsonl").read_bytes()


def test_single_questions_are_refused() -> None:
    given = check_recipe(
        Document(
            {
                "method": "strategies",
                "task": "lab:arithmetic",
                "models": {"student": "python:toy:student", "teacher": "python:toy:good_teacher"},
            }
        )
    )
    with pytest.raises(SettingsError, match="learned from dialogues"):
        given.method.plan(given)
