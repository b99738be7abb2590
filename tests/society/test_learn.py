"""The algorithm as a whole, with a scripted model and a trainer that only notes what it is given."""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fulcrum.artifact import read_artifact
from fulcrum.atomic import read_json
from fulcrum.chat import Completion, Failure, Request, Sampling, Tool, complete, resolve, user
from fulcrum.chat.served import served_name
from fulcrum.cli.main import main
from fulcrum.errors import ModelError, RunError, SettingsError, TaskError
from fulcrum.evaluation.solver import Turn
from fulcrum.hashing import content_hash
from fulcrum.recipe import Recipe, read_recipe
from fulcrum.report.curves import read_charts
from fulcrum.runs import open_run
from fulcrum.runs.learn import RIVALS
from fulcrum.runs.run import read_events
from fulcrum.society.arms import ARMS
from fulcrum.society.feedback import Event, append_feedback, read_feedback
from fulcrum.society.history import History, read_history
from fulcrum.society.method import METHOD
from fulcrum.society.records import explain, last_debates, learned_rows
from fulcrum.society.rows import TrainingRow
from fulcrum.society.tuning import Tuning
from fulcrum.society.workshop import Workshop
from support.debating import AdapterModel, adapter, says, sums_task
from support.fault_server import FaultServer

LEVEL = re.compile(r"level-(\d+)")


class Trainer:
    """Stands in for finetuning: every training raises its agent's level by one, and is written down."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Mapping[str, Any]]] = {}
        self.starts: dict[str, Path | None] = {}
        self.preferences: dict[str, int] = {}

    def tune(self, workshop: Workshop, tunings: Sequence[Tuning]) -> list[Path]:
        return [self._tune(workshop, tuning) for tuning in tunings]

    def _tune(self, workshop: Workshop, tuning: Tuning) -> Path:
        stage = tuning.stage
        self.rows[stage] = list(tuning.rows)
        self.starts[stage] = tuning.start
        self.preferences[stage] = len(tuning.preferences)
        level = int(LEVEL.search(str(tuning.start))[1]) + 1 if tuning.start else 1
        folder = (
            workshop.run.folder / "stages" / f"{stage}-{content_hash(list(tuning.rows), 6)}-level-{level}" / "weights"
        )
        if not folder.exists():
            adapter(folder)
            (folder.parent / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in tuning.rows))
            (folder.parent / "inputs.json").write_text(json.dumps(dict(tuning.origin)))
        return folder


def learner(request: Request) -> str:
    """Right more often the more it was trained: participant and level decide on which sums it slips."""
    text = " ".join(message.content for message in request.messages)
    a, b = (int(number) for number in re.findall(r"What is (\d+) \+ (\d+)", text)[0])
    if "answers of other agents" in request.messages[-1].content:
        return "They differ."
    found = LEVEL.search(request.adapter or "")
    level = int(found[1]) if found else 0
    slips = (a + request.sample) % (3 + 2 * level) == 0 if len(request.messages) == 1 else (a + request.sample) % 5 == 0
    return f"It is {a + b + (1 + request.sample if slips else 0)}."


Train = Callable[..., tuple[History, AdapterModel, Trainer, Path]]


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    def run(answer: Callable[[Request], str | Completion] = learner, folder: str = "run", **settings: Any):
        model, trainer = AdapterModel(answer), Trainer()
        monkeypatch.setattr("fulcrum.runs.run.resolve", lambda name: model)
        monkeypatch.setattr(Recipe, "task", sums_task(), raising=False)
        monkeypatch.setattr("fulcrum.society.deploy.load_task", lambda name: sums_task())
        monkeypatch.setattr(Workshop, "tune", lambda workshop, tunings: trainer.tune(workshop, tunings))
        recipe = recipe_of(settings)
        with open_run(recipe, tmp_path / folder) as opened:
            METHOD.learn(opened)
        return read_history(tmp_path / folder), model, trainer, tmp_path / folder

    return run


def recipe_of(settings: Mapping[str, Any]) -> Recipe:
    known = {"questions": 12, "measure": 6, "min_rows": 2, "patience": 0, "arms": ["base", "debate", "society"]}
    flags = {f"settings.{key}": json.dumps(value) for key, value in {**known, **settings}.items()}
    return read_recipe(None, {"method": "society", "task": "sums", "models.agent": "python:scripted:model", **flags})


def test_every_agent_learns_its_own_rows_and_speaks_with_them_in_the_next_iteration(train: Train) -> None:
    history, model, trainer, folder = train(iterations=2)
    assert [one.number for one in history.iterations["society"]] == [1, 2]
    for stage, rows in trainer.rows.items():
        agent = stage.split("-", 3)[3]
        assert rows and {row["agent"] for row in rows} == {agent}
        assert all(row["participant"] == int(agent[-1]) - 1 for row in rows)
    second = [request for request in model.requests if request.adapter and "level-1" in request.adapter]
    assert {re.search(r"(generator|critic)-\d", str(request.adapter))[0] for request in second} == {
        *(f"generator-{n}" for n in (1, 2, 3)),
        *(f"critic-{n}" for n in (1, 2, 3)),
    }
    curve = read_json(folder / "iterations.json")
    society = {point["iteration"]: point["mean"] for point in curve if point["arm"] == "society"}
    assert set(society) == {0, 1, 2} and society[2] >= society[0]


@pytest.mark.parametrize(("start", "expected"), [("previous", "level-2"), ("base", "level-1")])
def test_an_iteration_starts_from_the_weights_that_the_settings_say(train: Train, start: str, expected: str) -> None:
    history, _, trainer, _ = train(iterations=2, start=start)
    stage = "finetune-society-2-generator-1"
    assert (trainer.starts[stage] is None) == (start == "base")
    assert expected in str(history.agents("society", 2)["generator-1"])


def test_no_target_of_a_training_question_changes_what_is_learnt(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, first, _ = train()
    wrong = sums_task()
    for example in wrong.splits["train"]:
        object.__setattr__(example, "target", -1)
    _, _, second, _ = train(folder="other")
    monkeypatch.setattr(Recipe, "task", wrong, raising=False)
    assert first.rows == second.rows


def always(request: Request) -> str:
    a, b = map(int, re.findall(r"\d+", request.messages[0].content)[:2])
    return f"It is {a + b}."


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (always, "solves all"),
        (lambda request: "It is -5.", "solves none"),
        (lambda request: "I do not know.", "solves none"),
    ],
    ids=["always right", "never right", "unreadable"],
)
def test_a_base_that_is_always_or_never_right_ends_with_a_sentence(train: Train, answer: Any, word: str) -> None:
    history, model, trainer, folder = train(answer)
    assert word in history.ended["society"] and history.agents("society") is None
    assert trainer.rows == {} and not (folder / "artifact").exists()
    assert not any((folder / "stages").glob("finetune-*"))
    assert len(model.requests) < 200


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (always, "nothing to teach"),
        (lambda request: f"It is {request.sample * 7 + 1000 + len(request.messages)}.", "chance"),
        (lambda request: "I do not know.", "can be read"),
    ],
    ids=["always right", "never right", "unreadable"],
)
def test_without_a_dev_split_the_debates_themselves_tell(train: Train, answer: Any, word: str) -> None:
    history, _, trainer, _ = train(answer, measure=0)
    assert word in history.ended["society"] and trainer.rows == {}


def test_too_few_rows_for_anyone_finetunes_nobody(train: Train) -> None:
    history, _, trainer, _ = train(min_rows=50)
    assert "50 rows" in history.ended["society"] and trainer.rows == {}


def test_a_critic_that_mends_nothing_keeps_its_weights_and_says_so(train: Train) -> None:
    def stubborn(request: Request) -> str:
        """Two of three are right at once, and no critic changes its mind."""
        if len(request.messages) > 1:
            return request.messages[-2].content
        return always(request) if request.sample % 3 else learner(request)

    history, _, trainer, folder = train(stubborn)
    assert history.iterations["society"][0].kept == ["critic-1", "critic-2", "critic-3"]
    assert not any("critic" in stage for stage in trainer.rows)
    sentences = [line for line in (folder / "events.jsonl").read_text().splitlines() if "society/kept" in line]
    assert len(sentences) == 3 and all("min_rows is 2; empty: D-." in line for line in sentences)


def test_it_stops_at_a_plateau_and_says_so(train: Train) -> None:
    history, _, _, _ = train(iterations=5, patience=1)
    assert len(history.iterations["society"]) < 5
    assert "no significant gain" in history.ended["society"]


@pytest.mark.parametrize(("measure", "best"), [(6, 1), (0, 2)])
def test_the_agents_of_the_iteration_that_is_best_on_dev_are_used(train: Train, measure: int, best: int) -> None:
    def spoiled(request: Request) -> str:
        return "It is 0." if "level-2" in (request.adapter or "") else learner(request)

    history, _, _, _ = train(spoiled, iterations=2, measure=measure)
    assert len(history.iterations["society"]) == 2 and history.best["society"] == best
    assert history.agents("society") == history.agents("society", best)
    assert ("agents of iteration 1 are used" in history.ended["society"]) == (best == 1)


def failing(level: int, failed: Completion) -> Callable[[Request], str | Completion]:
    return lambda request: failed if f"level-{level}" in (request.adapter or "") else learner(request)


CUT = Completion("and and", finish_reason="length", failure=Failure("truncated", "cut"))


@pytest.mark.parametrize(("level", "best"), [(2, 1), (1, None)])
def test_an_iteration_after_which_every_answer_fails_ends_its_line_and_keeps_those_before(
    train: Train, capsys: pytest.CaptureFixture[str], level: int, best: int | None
) -> None:
    history, _, _, folder = train(failing(level, CUT), iterations=3)
    assert f"Stopped after iteration {level}: every dev answer failed (truncated)." in history.ended["society"]
    assert len(history.iterations["society"]) == level and history.best["society"] == best
    assert (folder / "artifact").exists() == (best is not None)
    *_, last = read_json(folder / "iterations.json")
    assert (last["n"], last["right"], last["mean"], last["ahead_of"], last["failed"]) == (0, 0, None, {}, "truncated")
    assert fulcrum("curve", folder) == 0
    assert "failed" in capsys.readouterr().out
    if best:
        (chart,) = (chart for chart in read_charts(folder) if chart.y_label == "dev score, points")
        (series,) = (series for series in chart.series if series.name == "society")
        assert [one.x for one in series.points] == [0, 1]


@pytest.mark.parametrize(("level", "failed"), [(1, Completion.failed("timeout")), (0, CUT)])
def test_answers_that_all_fail_before_any_training_or_on_their_way_stop_the_run(
    train: Train, level: int, failed: Completion
) -> None:
    answer = failing(level, failed) if level else lambda request: failed
    with pytest.raises(RunError, match=f"answers on the dev split failed \\({failed.failure.kind}\\)"):
        train(answer)


def test_it_stops_when_agents_hardly_disagree(train: Train) -> None:
    history, _, _, _ = train(iterations=5, min_disagreement=1.0)
    assert len(history.iterations["society"]) == 1 and "min_disagreement" in history.ended["society"]


ALL = list(ARMS)


def test_all_arms_are_trained_as_far_as_they_need_and_all_compete(train: Train) -> None:
    history, _, _, folder = train(arms=ALL)
    agents = {line: sorted(history.agents(line)) for line in history.iterations}
    assert agents["single"] == agents["voted"] == agents["star"] == ["agent"]
    assert agents["no-critic"] == ["generator-1", "generator-2", "generator-3"]
    assert len(agents["society"]) == len(agents["no-summary"]) == 6
    with open_run(recipe_of({"arms": ALL}), folder) as run:
        contenders = METHOD.contenders(run)
    assert [one.solver.name for one in contenders] == ["direct", *ALL]
    assert [one.role for one in contenders].count("method") == 1


def test_what_the_rivals_took_to_train_is_not_charged_to_the_society(train: Train) -> None:
    def taken(folder: Path) -> Counter[str]:
        with open_run(recipe_of(arms), folder) as run:
            return Counter({paid.role: paid.calls for paid in run.store.paid()})

    arms = {"arms": ["debate", "single-agent", "star", "society"]}
    _, _, _, beside = train(**arms)
    with_rivals = taken(beside)
    arms = {"arms": ["debate", "society"]}
    _, _, _, alone = train(**arms, folder="alone")
    assert with_rivals.pop(RIVALS) > 0 and with_rivals == taken(alone)


def test_only_star_reads_targets_and_learns_only_what_is_right(train: Train) -> None:
    _, _, trainer, _ = train(arms=["star"])
    rows = trainer.rows["finetune-star-1-agent"]
    assert {row["label"]["source"] for row in rows} == {"gold"}
    for row in rows:
        a, b = map(int, re.findall(r"\d+", row["prompt"][0]["content"]))
        assert row["completion"][0]["content"] == f"It is {a + b}."


def test_fresh_questions_are_others_each_time_and_too_many_are_refused(train: Train) -> None:
    _, _, _, folder = train(iterations=2, questions=6, draw="fresh")
    asked = [read_json(path)["questions"] for path in sorted((folder / "stages").glob("debate-*/inputs.json"))]
    assert len(asked) == 2 and not set(asked[0]) & set(asked[1])
    with pytest.raises(SettingsError, match="24 train questions wanted, sums has 12"):
        train(folder="other", iterations=2, questions=12, draw="fresh")


def test_called_again_it_asks_and_trains_nothing(train: Train) -> None:
    _, _, _, folder = train()
    before = (folder / "society.json").read_bytes(), (folder / "iterations.json").read_bytes()
    _, model, _, _ = train()
    assert model.requests == []
    assert before == ((folder / "society.json").read_bytes(), (folder / "iterations.json").read_bytes())


def test_a_persons_label_changes_what_is_learnt_and_a_veto_takes_it_out(train: Train) -> None:
    _, _, before, folder = train()
    row = before.rows["finetune-society-1-generator-1"][0]
    question = row["label"]["question_id"]
    events = [
        Event("label", question, "anna", answer="-77"),
        Event("veto", before.rows["finetune-society-1-generator-2"][0]["label"]["question_id"], "anna", "generator-2"),
        Event("prefer", question, "anna", "generator-3", chosen="It is 1.", rejected="It is 2."),
    ]
    append_feedback(folder, events)
    _, _, after, _ = train()
    first = {row["label"]["question_id"] for row in after.rows["finetune-society-1-generator-1"]}
    assert question not in first  # nobody gave the answer that the person says is right
    assert events[1].question_id not in {
        row["label"]["question_id"] for row in after.rows["finetune-society-1-generator-2"]
    }
    assert after.preferences["finetune-society-1-generator-3"] == 1
    assert not any("debate" in stage for stage in after.rows)


def test_a_persons_answer_is_looked_for_in_further_debates(train: Train) -> None:
    def rows(trainer: Trainer, question_id: str) -> list[Mapping[str, Any]]:
        learnt = trainer.rows["finetune-society-1-generator-1"]
        return [row for row in learnt if row["label"]["question_id"] == question_id]

    def late(request: Request) -> str:
        a, b = (int(number) for number in re.findall(r"What is (\d+) \+ (\d+)", request.messages[0].content)[0])
        missed = request.sample in (0, 3) and len(request.messages) == 1 and a in (1, 10, 11)
        return f"It is {0 if missed else a + b}."

    for again, held in ((0, 0), (1, 1), (3, 2)):
        _, _, before, folder = train(late, folder=f"again-{again}", again=again, measure=0)
        debate = next(one for one in last_debates(folder) if not rows(before, one.question_id))
        a, b = map(int, re.findall(r"What is (\d+) \+ (\d+)", debate.messages[-1].content)[0])
        append_feedback(folder, [Event("label", debate.question_id, "anna", answer=str(a + b))])
        _, model, after, _ = train(late, folder=f"again-{again}", again=again, measure=0)
        asked = {one.sample for one in model.requests if one.messages == debate.messages and not one.adapter}
        found = rows(after, debate.question_id)
        # Each of three agents is asked anew in each further debate; in the second the first agent is right at last.
        assert asked == set(range(3, 3 + 3 * held)) and bool(found) == (held == 2)
        assert {row["label"]["source"] for row in found} <= {"person"}


def test_answers_given_one_after_another_are_each_learnt_from_their_own_debates(train: Train) -> None:
    def late(request: Request) -> str:
        a, b = (int(number) for number in re.findall(r"What is (\d+) \+ (\d+)", request.messages[0].content)[0])
        missed = request.sample in (0, 3) and len(request.messages) == 1 and a in (1, 10, 11)
        return f"It is {0 if missed else a + b}."

    _, _, first, folder = train(late, measure=0)
    learnt = {row["label"]["question_id"] for row in first.rows["finetune-society-1-generator-1"]}
    missed = [debate.question_id for debate in last_debates(folder) if debate.question_id not in learnt]
    right = {debate.question_id: debate.votes.most_common(1)[0][0] for debate in last_debates(folder)}
    said = [{missed[0]}, {missed[0], missed[1]}, {missed[1], missed[2]}]
    for number, questions in enumerate(said):
        events = [Event("label", question, "anna", answer=right[question]) for question in sorted(questions)]
        (folder / "feedback.jsonl").unlink(missing_ok=True)
        append_feedback(folder, events)
        _, _, trainer, _ = train(late, measure=0)
        rows = [row for row in trainer.rows["finetune-society-1-generator-1"] if row["label"]["source"] == "person"]
        assert {row["label"]["question_id"] for row in rows} == questions, number
        found = [TrainingRow.from_json(row) for row in rows]
        assert all(row.response == f"It is {right[row.label.question_id]}." for row in found)


def test_what_feedback_did_away_with_is_shown_no_more_and_the_votes_are_still_reported(train: Train) -> None:
    _, _, before, folder = train()
    reported = read_json(folder / "labels.json")
    vetoed = before.rows["finetune-society-1-generator-2"][0]["label"]["question_id"]
    fixed = next(one.question_id for one in last_debates(folder) if one.question_id != vetoed)
    append_feedback(
        folder, [Event("veto", vetoed, "anna", "generator-2"), Event("label", fixed, "anna", answer="no such number")]
    )
    train()
    shown = list(learned_rows(folder, "generator-2"))
    assert shown and vetoed not in {one.row.label.question_id for one in shown}
    assert fixed not in {one.row.label.question_id for one in learned_rows(folder)}
    assert read_json(folder / "labels.json") == reported


def test_a_word_about_the_societys_agents_changes_no_other_line(train: Train) -> None:
    arms = ["society", "no-summary", "no-critic"]
    _, _, first, folder = train(arms=arms)
    debate = last_debates(folder)[0]
    append_feedback(
        folder,
        [
            Event("prefer", debate.question_id, "anna", "critic-2", chosen="It is 1.", rejected="It is 2."),
            Event("veto", debate.question_id, "anna", "generator-1"),
        ],
    )
    _, _, after, _ = train(arms=arms)
    assert {stage for stage, count in after.preferences.items() if count} == {"finetune-society-1-critic-2"}
    for line in ("no-summary", "no-critic"):
        stage = f"finetune-{line}-1-generator-1"
        assert after.rows[stage] == first.rows[stage]


def test_star_is_refused_before_anything_is_paid_where_targets_are_missing(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = sums_task()
    bare = replace(task, splits={**task.splits, "train": [replace(one, target=None) for one in task.splits["train"]]})
    monkeypatch.setitem(globals(), "sums_task", lambda: bare)
    with pytest.raises(TaskError, match="take star out"):
        train(arms=["society", "star"])
    history, *_ = train(arms=["society"], folder="other")
    assert history.iterations["society"]


def test_what_a_person_prefers_is_learnt_even_without_rows(train: Train) -> None:
    _, _, first, folder = train(min_rows=50)
    assert first.rows == {}
    debate = last_debates(folder)[0]
    said = debate.last[1].completion.text
    event = Event("prefer", debate.question_id, "anna", "critic-2", chosen="It is 1.", rejected=said)
    append_feedback(folder, [event])
    history, _, after, _ = train(min_rows=50)
    assert after.rows == {"finetune-society-1-critic-2": []} and list(after.preferences.values()) == [1]
    assert [agent for agent, weights in history.agents("society").items() if weights] == ["critic-2"]
    assert "critic-2 learns only what people prefer in iteration 1" in (folder / "events.jsonl").read_text()


def test_where_no_two_agents_agree_what_a_person_says_is_learnt_and_the_votes_are_not(train: Train) -> None:
    def chance(request: Request) -> str:
        """The first participant is right, the others differ from it and from each other."""
        a, b = map(int, re.findall(r"\d+", request.messages[0].content)[:2])
        return f"It is {a + b + [0, 50, 90][request.sample % 3]}."

    history, _, _, folder = train(chance, measure=0)
    assert "chance" in history.ended["society"]
    debates = last_debates(folder)
    append_feedback(folder, [Event("prefer", debates[0].question_id, "anna", "critic-2", chosen="It is 1.")])
    _, _, trainer, _ = train(chance, measure=0)
    assert trainer.rows == {"finetune-society-1-critic-2": []}
    for one in debates[:3]:
        append_feedback(folder, [Event("label", one.question_id, "anna", answer=one.first[0].key)])
    _, _, trainer, _ = train(chance, measure=0)
    learnt = trainer.rows["finetune-society-1-generator-1"]
    assert {row["label"]["question_id"] for row in learnt} == {one.question_id for one in debates[:3]}
    assert not any("generator-2" in stage for stage in trainer.rows)


def test_a_simulated_person_fixes_labels_once_and_the_events_can_be_replayed(train: Train) -> None:
    settings = {"annotator.labels": 4}
    _, _, _, folder = train(**settings)
    lines = (folder / "feedback.jsonl").read_text().splitlines()
    assert len(lines) == 4
    train(**settings)
    assert (folder / "feedback.jsonl").read_text().splitlines() == lines


def test_where_no_society_is_trained_people_speak_of_the_votes_that_are_learnt(
    train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    arms = ["base", "star", "single-agent-no-debate"]
    history, _, _, folder = train(arms=arms, **{"annotator.labels": 4})
    assert len(read_feedback(folder).events) == 4
    debates = last_debates(folder)
    assert all(len(debate.rounds) == 1 for debate in debates) and len(debates) == 12
    (folder / "society.json").unlink()  # as it is before all is learnt
    assert [debate.question_id for debate in last_debates(folder)] == [debate.question_id for debate in debates]
    (learned,) = (event for event in read_events(folder) if event["event"] == "learned")
    assert learned["sentence"] in history.ended.values()
    question = debates[0].question_id
    assert fulcrum("fix", folder, question, "-77", "--by", "anna") == 0
    assert fulcrum("veto", folder, question, "generator-1", "--by", "anna") == 2
    assert "learn what people veto, and settings.arms has no society" in capsys.readouterr().err
    _, _, trainer, _ = train(arms=arms, **{"annotator.labels": 4})
    learnt = {stage: {row["label"]["question_id"] for row in rows} for stage, rows in trainer.rows.items()}
    assert question not in learnt["finetune-voted-1-agent"] and question in learnt["finetune-star-1-agent"]


def test_a_run_that_learns_from_targets_only_has_no_labels_to_speak_of(train: Train) -> None:
    _, _, _, folder = train(arms=["star"])
    with pytest.raises(RunError, match="learns from votes"):
        last_debates(folder)


@pytest.mark.parametrize("labels", [0, 4])
def test_every_row_leads_back_to_its_debate(train: Train, labels: int) -> None:
    _, _, trainer, folder = train(**{"annotator.labels": labels})
    found = list(learned_rows(folder))
    assert len(found) == sum(map(len, trainer.rows.values()))
    assert {one.debates.split("-")[0] for one in found} == {"again" if labels else "debate"}
    for learned in found:
        same, debate = explain(folder, learned.row.id)
        said = debate.rounds[same.row.turn][same.row.participant]
        assert said.completion.text == same.row.response
        assert debate.question_id == same.row.label.question_id
        if same.row.label.source == "vote" and same.row.label.margin > 0:
            assert debate.votes.most_common(1)[0][0] == same.row.label.answer


def fulcrum(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(["society", *map(str, arguments)])
    return stopped.value.code


def test_the_commands_show_what_a_run_left(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    _, _, _, folder = train()
    assert fulcrum("curve", folder) == 0
    told = capsys.readouterr().out
    assert "the society is ahead of" in told and "debate" in told.partition("ahead of")[2]
    assert fulcrum("labels", folder, "--json") == 0
    assert {row["line"] for row in json.loads(capsys.readouterr().out)} == {"society"}
    assert fulcrum("split", folder, "--count", 3, "--json") == 0
    split = json.loads(capsys.readouterr().out)
    assert len(split) == 3 and sum(split[0]["votes"].values()) == 3
    assert fulcrum("fix", folder, split[0]["question_id"], "it must be 12.0", "--by", "anna") == 0
    assert read_feedback(folder).events[0].answer == "12"
    assert fulcrum("fix", folder, split[0]["question_id"], "twelve", "--by", "anna") == 2
    assert "reads no answer in 'twelve'" in capsys.readouterr().err
    assert fulcrum("veto", folder, split[0]["question_id"], "critic-1", "--by", "anna") == 0
    assert len(read_feedback(folder).events) == 2
    assert fulcrum("export", folder, folder / "out", "--iteration", 1) == 0
    assert (folder / "out" / "critic-3" / "adapter_config.json").is_file()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["fix", "no-such-question", "12", "--by", "anna"], "no question 'no-such-question'"),
        (["veto", "any-question", "critc-2", "--by", "anna"], "no agent 'critc-2'; did you mean 'critic-2'?"),
        (
            ["prefer", "any-question", "critic-4", "--chosen", "1", "--rejected", "2", "--by", "anna"],
            "it has generator-1, generator-2, generator-3, critic-1, critic-2, critic-3",
        ),
        (["export", "out", "--iteration", "7"], "no such iteration"),
        (["why", "ffffffffffffffff"], "no row has an id"),
    ],
)
def test_a_command_that_cannot_work_says_why(
    train: Train, capsys: pytest.CaptureFixture[str], command: list[str], said: str
) -> None:
    _, _, _, folder = train()
    assert fulcrum(command[0], folder, *command[1:]) == 2
    assert said in capsys.readouterr().err


def test_a_model_without_adapters_is_refused(train: Train, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from support.scripted import ScriptedModel

    monkeypatch.setattr("fulcrum.runs.run.resolve", lambda name: ScriptedModel())
    monkeypatch.setattr(Recipe, "task", sums_task(), raising=False)
    with open_run(recipe_of({}), tmp_path / "run") as run, pytest.raises(ModelError, match="give a local model"):
        METHOD.learn(run)


def test_the_artifact_debates_behind_an_endpoint(train: Train) -> None:
    _, _, _, folder = train()
    served = AdapterModel(learner)
    model = METHOD.deploy(read_artifact(folder), lambda name: served)
    request = Request((user("What is 3 + 6?"),))
    answer = complete(model, [request])[0]
    assert answer.ok and len(served.requests) == 9
    assert served.loaded == {str(path) for path in (folder / "artifact").iterdir() if path.is_dir()}
    assert answer.usage.completion_tokens == 9 * says("").usage.completion_tokens  # the whole debate is paid for
    assert model.identity(request) != served.identity(request)


def serve(folder: Path, model: AdapterModel, *requests: Request) -> list[Completion]:
    return complete(METHOD.deploy(read_artifact(folder), lambda name: model), requests)


SUM = (user("What is 3 + 6?"),)


def test_a_society_is_drawn_by_the_seed_of_a_request_that_wants_a_drawn_answer(train: Train) -> None:
    _, _, _, folder = train()
    wanted = [Sampling(seed=7), Sampling(0.5, seed=7), Sampling(0.5, seed=8, stop=("is",), max_tokens=1)]
    served = AdapterModel(learner)
    serve(folder, served, *(Request(SUM, sampling) for sampling in wanted))
    first, *_ = served.batches
    assert [request.sampling.seed for request in first] == [0] * 3 + [7] * 3 + [8] * 3
    assert {(r.sampling.temperature, r.sampling.stop, r.sampling.max_tokens) for r in first} == {(1.0, (), 20)}


def test_an_answer_of_a_society_ends_where_the_request_says(train: Train) -> None:
    _, _, _, folder = train()
    wanted = [Sampling(), Sampling(stop=("?", " is")), Sampling(max_tokens=1), Sampling(max_tokens=1, stop=("t",))]
    whole, stopped, cut, both = serve(folder, AdapterModel(learner), *(Request(SUM, one) for one in wanted))
    assert whole.ok and whole.text.startswith("It is ") and whole.finish_reason == "stop"
    assert stopped.ok and stopped.text == "It" and stopped.finish_reason == "stop"
    assert cut.failure and cut.failure.kind == "truncated" and cut.finish_reason == "length"
    assert cut.text == whole.text[: len(whole.text) // 2]  # an answer of the script has two tokens
    assert both.ok and both.text == "I"


def test_a_society_refuses_tools_by_name_and_answers_the_rest(train: Train) -> None:
    _, _, _, folder = train()
    tool = Tool("add", "", {})
    refused, answered = serve(folder, AdapterModel(learner), Request(SUM, tools=(tool,)), Request(SUM))
    assert refused.failure and refused.failure.kind == "invalid" and refused.failure.detail.startswith("tools: ")
    assert answered.ok


def test_its_agents_may_be_adapters_that_a_server_offers(train: Train) -> None:
    _, _, _, folder = train()
    agents = [path for path in sorted((folder / "artifact").iterdir()) if path.is_dir()]
    names = [served_name(path) for path in agents]
    with FaultServer(answer=lambda prompt: "It is 9.", adapters=names) as server:
        model = METHOD.deploy(read_artifact(folder), lambda name: resolve(f"{server.url}#tiny"))
        answer = complete(model, [Request((user("What is 3 + 6?"),))])[0]
        model.close()
    asked = Counter(body["model"] for body in server.bodies)
    assert answer.text == "It is 9." and set(names) <= set(asked) <= {*names, "tiny"} and asked.total() == 9


def test_a_server_without_all_agents_is_refused_with_the_flag_that_it_lacks(train: Train) -> None:
    _, _, _, folder = train()
    agents = [path for path in sorted((folder / "artifact").iterdir()) if path.is_dir()]
    others = [served_name(path) for path in agents[1:]]
    with FaultServer(adapters=others) as server, pytest.raises(ModelError) as refused:
        METHOD.deploy(read_artifact(folder), lambda name: resolve(f"{server.url}#tiny"))
    said = str(refused.value)
    assert f"offers no model {served_name(agents[0])};" in said
    assert all(f"{served_name(path)}={path}" in said for path in agents)
    (agents[0] / "adapter_config.json").unlink()  # as full tuning leaves it
    with pytest.raises(ModelError, match=f"^{agents[0].name} of the society are whole models"):
        METHOD.deploy(read_artifact(folder), lambda name: resolve("http://localhost:9/v1#tiny"))


def test_one_agent_is_distilled_from_what_the_finished_society_votes_for(train: Train) -> None:
    history, model, trainer, folder = train(distil=True, serve="distilled")
    rows = trainer.rows["distil"]
    assert trainer.starts["distil"] is None and all(len(row["prompt"]) == 1 for row in rows)
    finished = {str(path) for path in history.agents("society").values()}
    assert {request.adapter for request in model.batches[-1]} <= finished  # asked once more, after the last finetuning
    served = AdapterModel(learner)
    wanted = Request(SUM, Sampling(0.3, 0.8, 9, ("x",), 5), (Tool("add", "", {}),), sample=2)
    answers = serve(folder, served, Request(SUM), wanted)
    assert all(answer.ok for answer in answers)
    weights = str(folder / "artifact" / "distilled")
    assert served.requests == [replace(Request(SUM), adapter=weights), replace(wanted, adapter=weights)]


def test_the_distilled_agent_is_measured_as_it_is_served(train: Train) -> None:
    _, model, _, folder = train(distil=True)
    with open_run(recipe_of({"distil": True}), folder) as run:
        distilled = METHOD.contenders(run)[-1].solver
        distilled.answer([Turn(run.task.question(run.task.examples("test")[0]), SUM)])
    assert Path(str(model.requests[-1].adapter)) == folder / "artifact" / "distilled"
    assert model.requests[-1].sampling.temperature == 0


def test_where_no_fresh_questions_are_left_the_first_are_distilled_from(train: Train) -> None:
    _, _, trainer, folder = train(iterations=2, questions=6, draw="fresh", distil=True, serve="distilled")
    asked = [read_json(path)["questions"] for path in sorted((folder / "stages").glob("debate-society-*/inputs.json"))]
    assert asked[2] == asked[0] != asked[1] and trainer.rows["distil"]


def test_the_plan_is_what_the_run_then_asks(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Recipe, "task", sums_task(), raising=False)
    planned = {row.stage: row.calls for row in METHOD.plan(recipe_of({"iterations": 2}))}
    assert planned["debates of society"] == 2 * 12 * 9
    assert planned["measuring iterations"] == 6 * (1 + 1 + 9 + 3 * 9)
    assert planned["evaluation"] == 4 * (1 + 1 + 9 + 9)
    distilled = {row.stage: row.calls for row in METHOD.plan(recipe_of({"distil": True}))}
    assert distilled["evaluation"] == planned["evaluation"] + 4
    with_person = {row.stage: row.calls for row in METHOD.plan(recipe_of({"annotator.labels": 4}))}
    assert with_person["debates of society"] == (12 + 3 * 4) * 9


def test_a_run_of_before_there_was_a_best_iteration_uses_its_last(tmp_path: Path) -> None:
    one, two = ({"number": number, "agents": {"agent": f"weights-{number}"}, "kept": []} for number in (1, 2))
    old = {"single": {"ended": "done", "iterations": [one, two]}, "star": {"ended": "hopeless", "iterations": []}}
    (tmp_path / "society.json").write_text(json.dumps(old))
    history = read_history(tmp_path)
    assert history.agents("single") == {"agent": tmp_path / "weights-2"} and history.agents("star") is None
