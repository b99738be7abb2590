"""What must not happen quietly: a judge left out, a control that is none, a handbook that changed, logs lost."""

import json
import sys
from pathlib import Path

import pytest

from fulcrum.artifact import read_artifact
from fulcrum.chat import Completion, resolve, user
from fulcrum.cli.main import main
from fulcrum.errors import RunError, SettingsError
from fulcrum.evaluation.results import read_results
from fulcrum.recipe import Recipe, check_recipe
from fulcrum.review.place import open_place
from fulcrum.runs import Run
from fulcrum.runs.catalog import reopen
from fulcrum.runs.evaluate import evaluate_run
from fulcrum.runs.learn import learn
from fulcrum.settings import Document
from fulcrum.strategies.bench import Bench, kept, wording_for
from fulcrum.strategies.dialogue import Compared, State
from fulcrum.strategies.effects import measure
from fulcrum.strategies.judging import OutcomeJudge, Preference
from fulcrum.strategies.lab import LabWording
from fulcrum.strategies.library import Library
from fulcrum.strategies.logs import Logs, take_in
from fulcrum.strategies.placebo import lines_a_turn, placebo
from fulcrum.strategies.records import Advice, Effect, Finding
from fulcrum.strategies.release import Release, release
from fulcrum.strategies.retrieval import Retriever
from fulcrum.strategies.settings import StrategiesSettings
from fulcrum.strategies.suggestions import ask_teacher, scenario_of
from fulcrum.strategies.trials import measured
from fulcrum.strategies.wording import GeneralWording
from fulcrum.strategies.words import EVERYWHERE
from fulcrum.task import Question

sys.path.insert(0, str(Path(__file__).parent))

SETTINGS = {"rounds": 1, "dialogues": 30, "effect_dialogues": 0, "gap_dialogues": 0}
SORRY = Advice(scenario="an upset customer", when="the customer is upset", do="say sorry")


def recipe(
    teacher: str = "modest_teacher",
    models: dict[str, str] | None = None,
    budget: dict[str, float] | None = None,
    **settings: object,
) -> Recipe:
    roles = {"student": "python:toy:student", "teacher": f"python:toy:{teacher}", **(models or {})}
    data = {"method": "strategies", "task": "python:toy:task", "models": roles, "settings": {**SETTINGS, **settings}}
    return check_recipe(Document(data | ({"budget": budget} if budget else {})))


def test_a_test_in_the_review_page_keeps_what_the_judge_has_against_a_strategy(tmp_path: Path) -> None:
    with Run(tmp_path / "run", recipe(models={"judge": "python:toy:wary_judge"})) as run:
        library = Library(run.artifact / "library.jsonl")
        strategy = library.propose(SORRY, who="ada")
        examined = Bench(run).examine(library, strategy)
    retest = open_place(tmp_path / "run").retest
    assert retest is not None and [found.check for found in examined.blocked] == ["judge"]
    again = retest(strategy, False)
    assert again.findings == examined.findings and again.effects == ()


def test_what_was_tested_and_is_blocked_is_served_to_nobody(tmp_path: Path) -> None:
    library = Library(tmp_path / "library.jsonl")
    strategy = library.propose(SORRY, who="ada")
    library.record_effect(strategy.id, Effect(measure="on-off", estimate=0.1, low=0.0, high=0.2, n=9), who="ada")
    assert [one.id for one in kept(library)] == [strategy.id]
    library.record_checks(strategy.id, [Finding(check="judge", severity="block", text="no")], who="ada")
    assert kept(library) == []


@pytest.mark.parametrize(("teacher", "why"), [("dead_teacher", "server: down"), ("mute_teacher", "holds no line")])
def test_general_advice_that_cannot_be_had_is_no_control(tmp_path: Path, teacher: str, why: str) -> None:
    with Run(tmp_path / "run", recipe(teacher)) as run, pytest.raises(RunError, match=why):
        Bench(run).generic_advice()


def test_a_teacher_that_fails_is_counted_and_not_taken_for_one_with_nothing_to_say(tmp_path: Path) -> None:
    question = Question("q", (user("i am upset."),))
    case = Compared(State(question, (), question.messages), Completion("hello."), Completion("sorry."))
    judged = [(case, Preference(1.0, "better"))]
    counts = {"dead": (0, 1, 0), "mute": (1, 0, 0), "idle": (0, 0, 1), "careless": (1, 0, 1)}
    for teacher, expected in counts.items():
        with Run(tmp_path / teacher, recipe(f"{teacher}_teacher")) as run:
            asked = ask_teacher(Bench(run), judged)
        assert (asked.unreadable, asked.failed, len(asked.suggestions)) == expected


def test_where_no_dialogue_could_be_finished_nothing_is_judged(tmp_path: Path) -> None:
    with Run(tmp_path / "run", recipe()) as run:
        bench, down = Bench(run), Completion.failed("server", "down")
        first, second = (State(question, (), question.messages) for question in run.task.questions("train")[:2])
        judge = OutcomeJudge(bench.task, bench.student(name="student"), bench.check)
        with pytest.raises(RunError, match=r"2 of 2 dialogues that judge replies failed \(server\)"):
            judge.compare([Compared(first, down, down)])
        found = judge.compare([Compared(first, down, down), Compared(second, Completion("a"), Completion("b"))])
    assert [one and one.gain for one in found] == [None, 0.0]


def test_a_strategy_that_breaks_its_own_dialogues_is_neither_tested_nor_released(tmp_path: Path) -> None:
    given = recipe(models={"student": "python:toy:frail_student"}, budget={"failure_share": 1.0})
    with Run(tmp_path / "run", given) as run:
        bench, library = Bench(run), Library(run.artifact / "library.jsonl")
        sorry = library.propose(SORRY, who="ada")
        library.decide(sorry.id, "approved", who="ada", reason="known")
        assert not release(bench, library, who="ada").blocked
        loud = library.propose(SORRY.model_copy(update={"scenario": "upset", "do": "shout"}), who="ada")
        library.record_checks(loud.id, (), who="ada")
        with pytest.raises(RunError, match="20 of 60 dialogues could not be compared"):
            measure(bench, library, loud, [sorry])
        library.record_effect(loud.id, measured("on-off", [], []), who="ada")
        assert library.strategy(loud.id).before_approval() == ["version 1 was not tested"]
        assert loud.id not in [strategy.id for strategy in kept(library)]
        library.decide(loud.id, "approved", who="ada", reason="unseen")
        found = release(bench, library, who="ada")
        assert found.blocked and found.missing == 20
        assert found.against == ["20 development dialogues could not be compared, for a call failed; try again"]
        assert Release.from_json(found.to_json()) == found


def test_what_was_seen_of_former_words_is_not_kept_of_those_that_an_edit_gave_meanwhile(tmp_path: Path) -> None:
    with Run(tmp_path / "run", recipe()) as run:
        bench, library = Bench(run), Library(run.artifact / "library.jsonl")
        former = library.propose(SORRY, who="ada")
        library.edit(former.id, SORRY.model_copy(update={"do": "shout loudly"}), who="ben")
        bench.examine(library, former)
        now = measure(bench, library, former, [])
    assert (now.version, now.findings, dict(now.effects)) == (2, None, {})
    assert [event.kind for event in library.history(former.id)[2:]] == ["checked", "effect", "effect"], "of version 1"


def shown_by_the_placebo(library: Library) -> list[str] | None:
    settings, wording = StrategiesSettings(), GeneralWording()
    control = placebo(library, Retriever(library.strategies("approved"), settings.retrieval), wording, settings, 0)
    return None if control is None else sorted(control([user("an upset customer, in the rain")]).lines)


def test_what_is_unreadable_costs_itself_and_not_the_strategies_beside_it() -> None:
    good = {"scenario": "a", "do": "b"}
    lenient = [{**good, "avoid": None, "level": "Specific"}, {**good, "level": "high"}, {**good, "level": None}]
    read = GeneralWording().read(json.dumps([*lenient, {"scenario": "a"}, 7, {**good, "do": None}]))
    assert [one and one.level for one in read] == ["specific", "general", "general", None, None, None]
    assert read[0] == Advice(**good, level="specific")


def test_the_placebo_of_a_small_library_shows_what_is_not_served(tmp_path: Path) -> None:
    library = Library(tmp_path / "library.jsonl")
    for do in ("say sorry", "use their name"):
        id = library.propose(Advice(scenario=EVERYWHERE, do=do), who="ada").id
        library.decide(id, "approved", who="ada", reason="known")
    assert shown_by_the_placebo(library) is None, "both fit everywhere, so there is no other"
    harmful = library.propose(Advice(scenario=EVERYWHERE, do="shout loudly"), who="ada")
    library.record_effect(harmful.id, Effect(measure="state", estimate=-0.3, low=-0.4, high=-0.2, n=9), who="ada")
    library.propose(Advice(scenario="an upset customer", do="say sorry"), who="ada")
    assert shown_by_the_placebo(library) is None, "what harms or says the same is no placebo"
    for do in ("hum a tune", "count to ten"):
        library.decide(library.propose(Advice(scenario="x", do=do), who="ada").id, "rejected", who="ada", reason="idle")
    assert shown_by_the_placebo(library) == ["count to ten.", "hum a tune."]


def test_an_evaluation_says_how_many_lines_each_arm_showed_and_leaves_out_a_placebo_that_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for teacher, possible in (("modest_teacher", False), ("good_teacher", True)):
        folder, given = tmp_path / teacher, recipe(teacher, serve="proposed")
        with Run(folder, given) as run:
            learn(run)
            evaluate_run(run)
        lines = lines_a_turn(read_results(folder))
        assert lines["generic-advice"] == 2 and lines["whole-library"] == 1 and "student" not in lines
        assert lines.get("shuffled") == (lines["retrieved"] if possible else None)
        assert lines["retrieved"] == pytest.approx(1 / 3)
        capsys.readouterr()
        main_without_exit("strategies", "metrics", str(folder))
        assert ("No placebo possible" in capsys.readouterr().out) is not possible


def test_a_handbook_that_changes_is_noticed_and_what_is_deployed_needs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book, folder = tmp_path / "handbook.md", tmp_path / "run"
    book.write_text("say sorry")
    with Run(folder, recipe(handbook=str(book), serve="proposed")) as run:
        learn(run)
        before = run.recipe.resolved()
    book.write_text("say nothing")
    assert recipe(handbook=str(book), serve="proposed").resolved() != before
    with pytest.raises(RunError, match=r"settings\.handbook_hash"):
        Run(folder, recipe(handbook=str(book), serve="proposed"))
    with Run(folder, reopen(folder)) as run, pytest.raises(RunError, match="has changed since the run began"):
        Bench(run).teacher()
    book.unlink()
    monkeypatch.chdir(tmp_path)
    reopen(folder).method.deploy(read_artifact(folder), resolve).close()
    with pytest.raises(SettingsError, match="handbook"):
        recipe(handbook=str(book))


def test_the_teacher_alone_reads_the_handbook(tmp_path: Path) -> None:
    book = tmp_path / "handbook.md"
    book.write_text("SECRET")
    with Run(tmp_path / "run", recipe(handbook=str(book))) as run:
        bench = Bench(run)
        assert bench.teacher()._wording.teach([user("hi")])[0].content == "SECRET"  # pyright: ignore[reportPrivateUsage]
        assert bench.wording.teach([user("hi")])[0].content == "hi"


def test_a_judge_at_the_lab_is_refused_before_any_call(tmp_path: Path) -> None:
    data = {
        "method": "strategies",
        "task": "lab:desk?seed=1",
        "models": {
            "student": "python:toy:student",
            "teacher": "python:toy:dead_teacher",
            "judge": "python:toy:student",
        },
    }
    given = check_recipe(Document(data))
    with pytest.raises(SettingsError, match=r"models\.judge"):
        given.method.plan(given)
    with Run(tmp_path / "run", given) as run:
        with pytest.raises(SettingsError, match=r"models\.judge"):
            learn(run)
        assert not run.ledger.snapshot()
    general = check_recipe(Document({**data, "settings": {"wording": "general"}}))
    assert general.method.plan(general)
    with Run(tmp_path / "general", general) as run:
        told = Bench(run).teacher()._wording.teach([user("hi")])  # pyright: ignore[reportPrivateUsage]
    assert "when" in told[0].content, "the teacher knows the shop's practice in the general wording too"


def test_the_wording_follows_the_task_unless_it_is_named() -> None:
    assert isinstance(wording_for("lab:desk", StrategiesSettings()), LabWording)
    assert isinstance(wording_for("lab:desk", StrategiesSettings(wording="general")), GeneralWording)
    assert isinstance(wording_for("dialogue:x.toml", StrategiesSettings()), GeneralWording)
    with pytest.raises(SettingsError, match=r"settings\.wording"):
        wording_for("dialogue:x.toml", StrategiesSettings(wording="lab"))


def test_the_words_of_one_dialogue_tell_no_scenario_however_many_of_its_turns_are_meant() -> None:
    def turn(dialogue: int, *said: str) -> State:
        return State(Question(str(dialogue), ()), (), tuple(map(user, said)))

    others = [turn(number, f"item{number}") for number in range(60)]
    one_dialogue = [turn(99, *["coins"] * (number + 1)) for number in range(5)]
    several = [turn(100 + number, "late") for number in range(5)]
    everywhere = [*others, *one_dialogue, *several]
    assert scenario_of(several, everywhere, GeneralWording()) == "late"
    assert scenario_of(one_dialogue, everywhere, GeneralWording()) == ""


def test_logs_alone_begin_a_library_and_training_does_not_lose_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("desk.toml").write_text(
        'method = "strategies"\ntask = "python:toy:task"\n[models]\nstudent = "python:toy:student"\n'
        'teacher = "python:toy:modest_teacher"\n'
    )
    said = [("system", "you work at a desk."), ("user", "i am upset."), ("assistant", "hello. sorry.")]
    held = {"messages": [{"role": role, "content": text} for role, text in said]}
    Path("logs.jsonl").write_text(f"{json.dumps({'strategy': SORRY.model_dump()})}\n{json.dumps(held)}\n")
    main_without_exit("strategies", "import", "desk.toml", "logs.jsonl", "--who", "ada")
    printed = capsys.readouterr()
    (folder,) = Path("runs").iterdir()
    assert printed.out.split()[:2] == [SORRY.id, "proposed:"] and f"fulcrum strategies test {folder}" in printed.err
    main_without_exit("strategies", "test", str(folder))
    main_without_exit("strategies", "approve", str(folder), SORRY.id, "--who", "ada")
    assert Library(folder / "artifact" / "library.jsonl").strategy(SORRY.id).status == "approved"
    reopen(folder).method.deploy(read_artifact(folder), resolve).close()
    with Run(folder, reopen(folder)) as run, pytest.raises(RunError, match="that people brought"):
        learn(run)
    (folder / "stages" / "round-1-x").mkdir(parents=True)
    (folder / "artifact" / "library.jsonl").unlink()
    capsys.readouterr()
    assert main_without_exit("strategies", "import", str(folder), "logs.jsonl") == 2
    assert "in the middle of learning" in capsys.readouterr().err


def test_the_same_advice_for_another_situation_is_kept_and_what_is_known_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with Run(tmp_path / "run", recipe()):
        pass
    situations = ["the parcel is late", "the item came broken", "late parcels", "the parcel is not late"]
    written = [{"scenario": scenario, "do": "apologise first, then offer a refund"} for scenario in situations]
    Path("logs.jsonl").write_text("".join(json.dumps({"strategy": one}) + "\n" for one in written))
    assert main_without_exit("strategies", "import", "run", "logs.jsonl") == 0
    kept_ones = Library(tmp_path / "run" / "artifact" / "library.jsonl").strategies()
    assert [one.advice.scenario for one in kept_ones] == [situations[0], situations[1], situations[3]]
    assert f"logs.jsonl:3: known already, see {kept_ones[0].id}" in capsys.readouterr().err


def test_logs_that_come_again_bring_what_is_new_though_a_strategy_was_reworded(tmp_path: Path) -> None:
    greet = Advice(scenario="the first message", do="greet them")
    with Run(tmp_path / "run", recipe()) as run:
        bench, library = Bench(run), Library(run.artifact / "library.jsonl")
        take_in(bench, library, Logs((("logs.jsonl:1", SORRY),), ()), "ada")
        library.edit(SORRY.id, SORRY.model_copy(update={"do": "own up, then name the day"}), who="ben")
        both = (("logs.jsonl:1", SORRY), ("logs.jsonl:2", greet))
        new, asked = take_in(bench, library, Logs(both, ()), "ada")
    assert (new, asked.known) == ([greet.id], [("logs.jsonl:1", SORRY.id)])
    assert library.strategy(SORRY.id).advice.do == "own up, then name the day"


def main_without_exit(*arguments: str) -> int:
    """Return the exit code of a command."""
    try:
        main(list(arguments))
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0
