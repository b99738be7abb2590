import gc
import types
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fulcrum.calls import Budget, BudgetSettings, CallStore, Ledger, Price, Prices, RecordedModel
from fulcrum.chat import Completion, Request, Sampling, assistant, user
from fulcrum.errors import BudgetSpent, RunError, SettingsError, TooManyFailures
from fulcrum.evaluation.baselines import BestOfN, Direct, SelfConsistency
from fulcrum.evaluation.results import pool_seeds, read_results, write_results
from fulcrum.evaluation.rollouts import SolverRollouts, roll_out
from fulcrum.evaluation.solver import Answer, Solver, Turn
from fulcrum.task import Example, PromptTemplate, Task
from fulcrum.task.scorers import JudgeScorer
from support.evaluation import FunctionSolver, SameText, countdown_task, made, shouting_task
from support.scripted import ScriptedModel, echo, together

REMOTE = "http://localhost:1/v1#m"


def rolled(solver: Solver, task: Task, **more: object) -> SolverRollouts:
    known: dict[str, object] = {"role": "method", "ledger": Ledger()}
    return roll_out(solver, task, "test", **(known | more))  # pyright: ignore[reportArgumentType]


class Recorded:
    """A recorded model over a store in a folder, with prices and limits."""

    def __init__(self, folder: Path, inner: ScriptedModel, **limits: float) -> None:
        self.inner = inner
        self.ledger = Ledger(Prices(models={REMOTE: Price(prompt=1e6, completion=0)}))
        self.budget = Budget(BudgetSettings(**limits))  # pyright: ignore[reportArgumentType]
        self.store = CallStore(folder / "calls.sqlite")
        self.model = RecordedModel(inner, "actor", self.store, self.ledger, self.budget)


def test_every_question_is_answered_once_and_scored() -> None:
    def answer(turn: Turn) -> Completion:
        return Completion({"a": "A", "b": "wrong", "c": "?"}[turn.messages[-1].content])

    result = rolled(FunctionSolver("mine", answer), shouting_task(), seed=5)
    assert [(r.text, r.score.verdict) for r in result.rollouts] == [
        ("A", "right"),
        ("wrong", "wrong"),
        ("?", "unparsable"),
    ]
    assert {(r.solver, r.seed, r.sample) for r in result.rollouts} == {("mine", 5, 0)}
    assert [r.question_id for r in result.rollouts] == [q.id for q in shouting_task().questions("test")]
    assert result.rollouts[0].turns == (assistant("A"),)
    assert (result.solver, result.role, result.task, result.split) == ("mine", "method", "shouting", "test")


class Secret:
    """A target that can be told from anything else."""

    def __str__(self) -> str:
        return "A"


_CODE = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType)


def reachable(*roots: object) -> list[object]:
    """Return every object that code could get at from `roots` by attributes, items, closures and bound methods."""
    found: dict[int, object] = {}
    waiting = list(roots)
    while waiting:
        thing = waiting.pop()
        if id(thing) in found:
            continue
        found[id(thing)] = thing
        if isinstance(thing, types.FunctionType):
            waiting.extend(thing.__closure__ or ())
            waiting.extend(thing.__defaults__ or ())
        elif not isinstance(thing, _CODE):
            waiting.extend(gc.get_referents(thing))
    return list(found.values())


def test_the_search_for_secrets_finds_what_is_hidden_in_tasks_and_closures() -> None:
    secret = Secret()
    task = shouting_task(splits={"test": [Example({"text": "a"}, target=secret)]})
    assert secret in reachable(task.answer_key)
    assert secret in reachable(lambda: secret)
    assert secret in reachable({"deep": [(task.open(task.examples("test")[0].id),)]})


def test_no_target_can_be_reached_from_a_turn_or_a_baseline() -> None:
    secret = Secret()
    task = shouting_task(splits={"test": [Example({"text": "a"}, target=secret, metadata={"hint": secret})]})
    dialogue = countdown_task([3])
    target = dialogue.examples("test")[0]
    seen: list[list[object]] = []

    class Searching:
        name = "searching"

        def __init__(self, solver: Solver) -> None:
            self.solver = solver

        def answer(self, turns: Sequence[Turn]) -> list[Answer]:
            seen.append(reachable(turns, self))
            return self.solver.answer(turns)

    model, warm = ScriptedModel(), Sampling(temperature=1.0)
    solvers = [
        Direct(model, Sampling()),
        SelfConsistency(model, 2, warm, SameText().answer_key),
        BestOfN(model, 2, warm, lambda turns, candidates: [0 for _ in turns]),
    ]
    for solver in solvers:
        assert rolled(Searching(solver), task).rollouts[0].score.solved
    rolled(Searching(solvers[0]), dialogue)
    assert len(seen) == 3 + 3
    assert all(len(things) > 20 for things in seen)
    for things in seen:
        assert not any(thing is secret or thing is target for thing in things)


def test_a_judge_is_asked_about_all_answers_at_once() -> None:
    def verdict(request: Request) -> Completion:
        asked = request.messages[-1].content
        best, first = "b" in asked.partition("<answer")[0], "<answer 1>\nmine" in asked
        return Completion(f"Verdict: {1 if best == first else 2}")

    judge = ScriptedModel(together(3, verdict), batch=8)
    task = shouting_task(scorer=JudgeScorer(model="python:nowhere:none", question="{text}").with_model(judge))
    result = rolled(FunctionSolver("mine", lambda turn: Completion("mine")), task)
    assert [rollout.score.value for rollout in result.rollouts] == [0, 1, 0]


def test_samples_are_separate_attempts_at_each_question() -> None:
    solver = FunctionSolver("mine", lambda turn: Completion("A" if turn.sample == 1 else "no"))
    result = rolled(solver, shouting_task(["a"]), samples=3)
    assert [(r.sample, r.score.solved) for r in result.rollouts] == [(0, False), (1, True), (2, False)]


def test_a_failed_call_is_no_wrong_answer() -> None:
    solver = FunctionSolver("mine", lambda turn: Completion.failed("timeout", "60 s"))
    (rollout,) = rolled(solver, shouting_task(["a"])).rollouts
    assert (rollout.score.value, rollout.score.verdict) == (None, "failed")
    assert rollout.score.details == {"failure": "timeout"}


def test_dialogues_go_in_step_until_each_is_done() -> None:
    solver = FunctionSolver("mine", lambda turn: Completion(turn.messages[-1].content.upper()))
    progress: list[tuple[int, int]] = []
    result = rolled(solver, countdown_task([1, 3, 2]), on_progress=lambda *done: progress.append(done))
    assert solver.batches == [3, 2, 1]
    assert progress == [(1, 3), (2, 3), (3, 3)]
    assert all(rollout.score.solved for rollout in result.rollouts)
    assert result.rollouts[2].turns == (assistant("2 LEFT"), user("1 left"), assistant("1 LEFT"))
    assert [len(rollout.traces) for rollout in result.rollouts] == [1, 3, 2]


def test_a_failed_call_ends_its_dialogue_and_no_other() -> None:
    def answer(turn: Turn) -> Completion:
        said = turn.messages[-1].content
        return Completion.failed("server") if said == "2 left" else Completion(said.upper())

    solver = FunctionSolver("mine", answer)
    result = rolled(solver, countdown_task([1, 3]))
    assert [rollout.score.verdict for rollout in result.rollouts] == ["right", "failed"]
    assert solver.batches == [2, 1]


def test_a_limit_is_a_fixed_choice_that_grows() -> None:
    task = shouting_task([f"q{place}" for place in range(40)])
    solver = FunctionSolver("mine", lambda turn: Completion("no"))
    small, large = ([r.question_id for r in rolled(solver, task, limit=limit).rollouts] for limit in (5, 12))
    order = [question.id for question in task.questions("test")]
    assert len(small) == 5
    assert set(small) < set(large)
    assert large == sorted(large, key=order.index)
    assert large != order[:12]


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_that_leaves_nothing_is_refused(limit: int) -> None:
    with pytest.raises(SettingsError, match="give 1 or more"):
        rolled(FunctionSolver("mine", lambda turn: Completion("A")), shouting_task(), limit=limit)


def test_spend_is_what_the_answers_of_this_solver_took(tmp_path: Path) -> None:
    desk = Recorded(tmp_path, ScriptedModel(name=REMOTE))
    direct = Direct(desk.model, Sampling())
    rolled(direct, shouting_task(["zz"]), ledger=desk.ledger)
    result = rolled(direct, shouting_task(), ledger=desk.ledger)
    assert set(result.spend) == {"actor"}
    assert (result.total.calls, result.total.tokens, result.total.seconds, result.total.cost) == (3, 6, 1.5, 3.0)
    again = rolled(direct, shouting_task(), ledger=desk.ledger)
    assert (again.total.calls, again.total.answers, again.total.cost, again.total.paid_cost) == (0, 3, 3.0, 0.0)


def test_an_unknown_price_of_another_role_does_not_make_this_cost_unknown(tmp_path: Path) -> None:
    desk = Recorded(tmp_path, ScriptedModel(name=REMOTE))
    desk.ledger.record("teacher", "http://elsewhere/v1#m", echo(Request((user("hi"),))))
    assert rolled(Direct(desk.model, Sampling()), shouting_task(), ledger=desk.ledger).total.cost == 3.0


def test_a_spent_budget_stops_midway_and_a_second_run_finishes_without_repeating_a_call(tmp_path: Path) -> None:
    inner = ScriptedModel(name=REMOTE)
    task = countdown_task([1, 3, 2])
    desk = Recorded(tmp_path, inner, calls=4)
    with pytest.raises(BudgetSpent, match="calls 4 of 4"):
        rolled(Direct(desk.model, Sampling()), task, ledger=desk.ledger, budget=desk.budget)
    assert len(inner.requests) == 4
    desk.store.close()
    desk = Recorded(tmp_path, inner)
    result = rolled(Direct(desk.model, Sampling()), task, ledger=desk.ledger, budget=desk.budget)
    assert len(inner.requests) == 6
    assert all(rollout.score.solved for rollout in result.rollouts)


def test_a_budget_that_is_just_enough_is_enough(tmp_path: Path) -> None:
    desk = Recorded(tmp_path, ScriptedModel(name=REMOTE), calls=3)
    result = rolled(Direct(desk.model, Sampling()), shouting_task(), ledger=desk.ledger, budget=desk.budget)
    assert len(result.rollouts) == 3


def test_a_budget_failure_stops_even_where_no_budget_was_given() -> None:
    solver = FunctionSolver("mine", lambda turn: Completion.failed("budget"))
    with pytest.raises(BudgetSpent, match="raise the limit"):
        rolled(solver, shouting_task())


def test_too_many_failures_stop_the_rollouts(tmp_path: Path) -> None:
    inner = ScriptedModel(lambda request: Completion.failed("server", "bad key"), name=REMOTE)
    desk = Recorded(tmp_path, inner, failure_share=0.5)
    task = shouting_task([f"q{place}" for place in range(30)])
    with pytest.raises(TooManyFailures, match=r"20 of 20 calls failed.* Most often: server: bad key\."):
        rolled(Direct(desk.model, Sampling()), task, ledger=desk.ledger, budget=desk.budget)


def test_results_survive_the_files(tmp_path: Path) -> None:
    desk = Recorded(tmp_path, ScriptedModel(name=REMOTE))
    result = rolled(Direct(desk.model, Sampling()), countdown_task([2, 1]), ledger=desk.ledger)
    failing = rolled(FunctionSolver("down", lambda turn: Completion.failed("timeout")), countdown_task([2, 1]))
    write_results(tmp_path, [result, failing])
    assert read_results(tmp_path) == [result, failing]


@settings(max_examples=50, deadline=None)
@given(text=st.text(st.sampled_from('a"\\\n\r\x00\x1c\x85\u2028\ud83dé'), max_size=12))
def test_line_breaks_of_any_kind_and_cut_emoji_survive_the_files(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    folder = tmp_path_factory.mktemp("results")
    result = rolled(FunctionSolver("mine", lambda turn: Completion(text)), shouting_task(["a", "b"]))
    write_results(folder, [result])
    assert [rollout.text for rollout in read_results(folder)[0].rollouts] == [text, text]


def test_damaged_files_are_named_with_their_line(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"rollouts.jsonl: cannot be read"):
        read_results(tmp_path)
    write_results(tmp_path, [made("direct", "baseline", [1, 0])])
    whole = (tmp_path / "rollouts.jsonl").read_text()
    (tmp_path / "rollouts.jsonl").write_text(whole[:-20])
    with pytest.raises(RunError, match=r"rollouts.jsonl:2: damaged"):
        read_results(tmp_path)
    (tmp_path / "rollouts.jsonl").write_text(whole)
    (tmp_path / "solvers.json").write_text('[{"solver": "other"}]')
    with pytest.raises(RunError, match=r"solvers.json: damaged"):
        read_results(tmp_path)


def test_seeds_are_pooled_and_equal_attempts_refused() -> None:
    parts = [made("direct", "baseline", [1, 0], seed=seed) for seed in (0, 1)]
    assert len(pool_seeds(parts)["direct"].rollouts) == 4
    with pytest.raises(RunError, match="two solvers are called 'direct' and have the same seed"):
        pool_seeds([parts[0], parts[0]])


def test_the_template_alone_decides_what_a_solver_sees() -> None:
    example = Example({"text": "a", "other": "b"}, target="A", metadata={"level": "secret"})
    task = shouting_task(splits={"test": [example]}, template=PromptTemplate("{text}"))
    seen: list[Turn] = []

    def answer(turn: Turn) -> Completion:
        seen.append(turn)
        return Completion("A")

    rolled(FunctionSolver("mine", answer), task)
    assert seen[0].messages == (user("a"),)
    assert "secret" not in repr(seen[0])
