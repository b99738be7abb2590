"""Trying supplements out: schedules, failures, and runs that have nothing to learn from."""

import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from fulcrum.artifact import write_card
from fulcrum.chat import Completion, Request, Sampling, user
from fulcrum.chat.function import FunctionModel
from fulcrum.cli.main import main
from fulcrum.errors import BudgetSpent, ModelError, SettingsError, TaskError, TrainingError
from fulcrum.evaluation.solver import Turn
from fulcrum.recipe import read_recipe
from fulcrum.runs import Run
from fulcrum.supplement.artifact import STATIC_PROMPT
from fulcrum.supplement.bench import Bench, Wish
from fulcrum.supplement.collector import Collector
from fulcrum.supplement.forms import CONCAT, FORMS, FREE, NONE, NOTHING, OWN, Supplement, concatenate
from fulcrum.supplement.labels import Rule
from fulcrum.supplement.learn import Learned, learn
from fulcrum.supplement.method import EMPTIED, contenders
from fulcrum.supplement.reasons import nothing_to_learn
from fulcrum.supplement.schedule import Pool, allowance, questions_to_try, round_pool, warm_start_pool
from fulcrum.supplement.settings import SupplementSettings
from fulcrum.supplement.steps import Steps
from fulcrum.supplement.trainers import Weights, uplift_reward
from fulcrum.supplement.trials import Trial, Written, actor_calls
from fulcrum.supplement.wording import WORDINGS, When
from fulcrum.supplement.writer import writer_of
from fulcrum.task.load import load_task
from supplement.colours import say_by_the_block
from support.evaluation import countdown_task, shouting_task
from support.fault_server import FaultServer
from support.tiny import tiny_tokenizer


def bench_for(run: Run, settings: SupplementSettings, actor: object = None) -> Bench:
    return Bench(
        run.task,
        actor or run.model("actor"),
        Sampling(settings.label_temperature),
        settings.label_samples,
        WORDINGS["lab"],
        settings.when,
        run.budget,
    )


def alone_of(run: Run, bench: Bench) -> dict[str, float]:
    trials = bench.alone([example.id for example in run.task.examples("train")])
    return {trial.query: trial.labels[0] for trial in trials}


def any_length(joined: Supplement) -> bool:
    return True


def collector_for(
    run: Run,
    bench: Bench,
    settings: SupplementSettings,
    alone: dict[str, float],
    before: Sequence[Trial] = (),
    fits: Callable[[Supplement], bool] = any_length,
) -> Collector:
    writer = writer_of(run.model("generator"), settings, 1.0)
    states = {query: [(query, ())] for query in alone}
    return Collector(bench, writer, settings, Rule(), alone, states, before, fits, 0)


def collected(
    run: Run, schedule: str, pool_of: Callable[[SupplementSettings], Pool] = warm_start_pool, **more: object
) -> tuple[list[Trial], dict[str, float]]:
    settings = run.recipe.settings_as(SupplementSettings).model_copy(update={"schedule": schedule, **more})
    bench = bench_for(run, settings)
    alone = alone_of(run, bench)
    return collector_for(run, bench, settings, alone).collect(pool_of(settings)), alone


def test_the_fixed_schedule_is_the_papers(colours: Path, tmp_path: Path) -> None:
    with Run(tmp_path / "run", read_recipe(colours, {"settings.samples": "5"})) as run:
        trials, alone = collected(run, "fixed")
    asked = Counter((trial.query, trial.asked) for trial in trials)
    assert asked == {(query, form): 5 for query in alone for form in (*FORMS, FREE)}
    assert len(trials) == 45 * len(alone)


def test_the_adaptive_schedule_leaves_easy_questions_and_stays_with_hard_ones(colours: Path, tmp_path: Path) -> None:
    with Run(tmp_path / "run", read_recipe(colours, {"settings.samples": "5"})) as run:
        fixed, alone = collected(run, "fixed")
        trials, _ = collected(run, "adaptive", enough=2)
    rule = Rule()
    tried = Counter(trial.query for trial in trials)
    hard = [query for query, value in alone.items() if value == 0]
    options = rule.options(trials, alone)
    assert all(rule.signs(options[query, ()])[0] >= 2 for query in hard)  # a colour is guessed in a wave or two
    assert tried.keys() == set(hard), "a warm start imitates what helps: nothing is learned from a solved question"
    assert len(trials) < len(fixed) / 4


def test_a_round_also_tries_some_questions_that_are_solved_alone(colours: Path, tmp_path: Path) -> None:
    with Run(tmp_path / "run", read_recipe(colours)) as run:
        settings = run.recipe.settings_as(SupplementSettings)
        alone = alone_of(run, bench_for(run, settings))
    hard = [query for query, value in alone.items() if value == 0]
    tried = questions_to_try(settings, alone, 0)
    assert set(hard) < set(tried)
    assert len(tried) - len(hard) == round(settings.solved_share / (1 - settings.solved_share) * len(hard))


def test_a_round_of_imitation_tries_nothing_that_is_solved_alone(colours: Path, tmp_path: Path) -> None:
    tried: dict[str, Counter[str]] = {}
    with Run(tmp_path / "run", read_recipe(colours)) as run:
        for trainer in ("dpo", "sft"):
            trials, alone = collected(run, "adaptive", lambda one: round_pool(one, 1), trainer=trainer, enough=2)
            tried[trainer] = Counter(trial.query for trial in trials)
    hard = {query for query, value in alone.items() if value < 1}
    assert tried["sft"].keys() == hard < tried["dpo"].keys()


def test_hard_questions_get_what_easy_ones_saved_and_no_more_than_allowed(colours: Path, tmp_path: Path) -> None:
    with Run(tmp_path / "run", read_recipe(colours, {"models.actor": "python:colour_bots:wrong"})) as run:
        settings = run.recipe.settings_as(SupplementSettings).model_copy(update={"rounds": 0, "samples": 2})
        bench = bench_for(run, settings)
        alone = alone_of(run, bench)
        hard, *easy = alone
        found = [told(query, Supplement("cot", f"known {n}"), 1.0, "right") for query in easy for n in range(2)]
        for spend, before in ((0.5, []), (0.1, []), (0.1, found)):
            chosen = settings.model_copy(update={"spend": spend, "enough": 2})
            trials = collector_for(run, bench, chosen, alone, before).collect(warm_start_pool(chosen))
            allowed = allowance(warm_start_pool(chosen), chosen, len(alone))
            tried = Counter(trial.query for trial in trials)
            assert actor_calls(trials) <= allowed == int(spend * 18 * len(alone))
            if before:
                assert tried.keys() == {hard} and tried[hard] > 9, "the others want none"
            else:
                assert actor_calls(trials) == allowed and tried.keys() == set(alone)


def test_every_pool_of_the_adaptive_schedule_may_spend_the_same(colours: Path) -> None:
    settings = read_recipe(colours).settings_as(SupplementSettings).model_copy(update={"rounds": 3, "spend": 0.4})
    pools = [warm_start_pool(settings), *(round_pool(settings, number) for number in (1, 2, 3))]
    fixed = settings.model_copy(update={"schedule": "fixed"})
    bill = [allowance(pool, fixed, 100) for pool in pools]
    assert bill == [100 * pool.size for pool in pools] and len(set(bill)) == 3
    allowed = [allowance(pool, settings, 100) for pool in pools]
    assert len(set(allowed)) == 1 and sum(allowed) == pytest.approx(0.4 * sum(bill), abs=len(pools))


def test_what_earlier_rounds_found_counts_where_it_is_imitated_again(colours: Path, tmp_path: Path) -> None:
    with Run(tmp_path / "run", read_recipe(colours)) as run:
        settings = run.recipe.settings_as(SupplementSettings)
        bench = bench_for(run, settings)
        alone = alone_of(run, bench)
        first, other, *_ = (query for query, value in alone.items() if value < 1)
        before = [helped(first, "cot", "a"), helped(first, "pairs", "b"), helped(other, "cot", "a")]
        tried: dict[str, set[str]] = {}
        for trainer in ("dpo", "sft"):
            chosen = settings.model_copy(update={"trainer": trainer, "enough": 1, "concats": 0})
            trials = collector_for(run, bench, chosen, alone, before).collect(round_pool(chosen, 1))
            tried[trainer] = {trial.query for trial in trials}
    assert {first, other} <= tried["dpo"], "preferences are between supplements of one generator"
    assert tried["sft"] >= {other} and first not in tried["sft"], "one a pool: two are what the first round wants"


def test_a_winner_written_again_is_no_second_one(colours: Path, tmp_path: Path) -> None:
    with Run(tmp_path / "run", read_recipe(colours)) as run:
        settings = run.recipe.settings_as(SupplementSettings).model_copy(update={"trainer": "sft", "enough": 2})
        collector = collector_for(run, bench_for(run, settings), settings, {"q": 0.0}, [helped("q", "cot", "a")] * 2)
        pool = round_pool(settings, 1)
        again = [helped("q", "cot", body) for body in "aabc"]
        assert collector._lacks(pool, [("q", ())], again), "four are wanted by round 1, and three are known"
        assert not collector._lacks(pool, [("q", ())], [*again, helped("q", "pairs", "a")])


def test_a_failed_call_takes_nothing_from_what_a_pool_may_spend(colours: Path, tmp_path: Path) -> None:
    with Run(tmp_path / "run", read_recipe(colours)) as run:
        settings = run.recipe.settings_as(SupplementSettings)
        alone = {f"q{number}": 0.0 for number in range(20)}
        collector = collector_for(run, bench_for(run, settings), settings, alone)
        pool = warm_start_pool(settings)
        failing = [told(query, Supplement("cot", "a"), 0.0, "failed") for query in alone]
        unread = [told(query, Supplement("cot", "b"), 0.0, "unparsable") for query in alone]
        allowed = collector._room(pool, [])
        assert collector._room(pool, failing) == allowed == collector._room(pool, [*failing, *unread]) + len(alone)
        later = collector_for(run, bench_for(run, settings), settings, alone, failing)
        answered = [helped(query, "cot", "a") for query in alone]
        assert later._room(pool, answered) == allowed - len(alone), "nor was it an answer, which would be free now"


def test_the_latest_trials_of_all_questions_are_learned_from(colours: Path, tmp_path: Path) -> None:
    with Run(tmp_path / "run", read_recipe(colours)) as run:
        settings = run.recipe.settings_as(SupplementSettings)
        queries = [str(number) for number in range(20)]
        before, now = ([helped(query, "cot", f"{when} {query}") for query in queries] for when in ("old", "new"))
        collector = collector_for(run, bench_for(run, settings), settings, dict.fromkeys(queries, 0.0), before)
        known = [(*one.state, one.note) for one in collector._known(now)]
    assert known == [(trial.query, (), trial.written[0].supplement.text) for trial in (*before, *now)]


def test_round_one_concatenates_what_helped(colours: Path, tmp_path: Path) -> None:
    with Run(tmp_path / "run", read_recipe(colours)) as run:
        settings = run.recipe.settings_as(SupplementSettings).model_copy(
            update={"schedule": "fixed", "own_forms": 3, "concats": 3}
        )
        bench = bench_for(run, settings)
        alone = alone_of(run, bench)
        first, other, *_ = (query for query, value in alone.items() if value < 1)
        before = [helped(first, "cot", "a"), helped(first, "pairs", "b"), helped(other, "cot", "a")]
        short = collector_for(run, bench, settings, alone, before).collect(round_pool(settings, 1))
        tried = [trial for trial in short if trial.asked == CONCAT]
        assert len(tried) == 3
        before.append(helped(other, "pairs", "much longer"))
        fits = lambda joined: len(joined.body) < 5  # noqa: E731
        trials = collector_for(run, bench, settings, alone, before, fits).collect(round_pool(settings, 1))
    assert [trial for trial in trials if trial.asked == CONCAT] == tried, "only what the generator could write"
    joined = [trial for trial in trials if trial.asked == CONCAT]
    assert {trial.query for trial in joined} == {first} and len(joined) == 3
    assert {trial.written[0].supplement.form for trial in joined} <= {"cot+pairs", "pairs+cot"}
    assert Counter(trial.asked for trial in trials if trial.query == other) == {OWN: 3} | dict.fromkeys(FORMS, 1)
    assert round_pool(settings, 2).asked == (FREE,) and round_pool(settings, 2).size == settings.pool


def test_a_generator_can_write_what_its_limit_and_its_first_line_have_room_for(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer(tmp_path)
    weights = Weights(f"hf:{tmp_path}", "full")
    joined = concatenate(Supplement("cot", "the answer is a number"), Supplement("pairs", "parcels went to rome"))
    tokens = len(tokenizer(joined.text)["input_ids"])
    assert weights.could_write(joined, tokens + 1), "the token that ends it is one more"
    assert not weights.could_write(joined, tokens)
    long = concatenate(Supplement("a" * 20, "x"), Supplement("b" * 20, "y"))
    assert not weights.could_write(long, 1000), "a first line that nobody reads"
    assert weights.could_write(replace(long, form=long.form[1:]), 1000)


def test_no_failure_becomes_a_label(colours: Path, tmp_path: Path) -> None:
    faults = ("server_error", "truncated_json", "drop", "rate_limit")
    with FaultServer(answer=say_by_the_block, fault_rate=0.2, faults=faults, retry_after=0) as server:
        flags = {"models.actor": f"{server.url}?timeout=5&retries=0&backoff=0.01#tiny", "settings.schedule": "fixed"}
        with Run(tmp_path / "run", read_recipe(colours, flags)) as run:
            settings = run.recipe.settings_as(SupplementSettings)
            bench = bench_for(run, settings)
            without = {trial.query: trial for trial in bench.alone([one.id for one in run.task.examples("train")])}
            alone = {query: trial.labels[0] for query, trial in without.items() if trial.labels}
            trials = collector_for(run, bench, settings, alone).collect(warm_start_pool(settings))
            golds = {example.id: example for example in run.task.examples("train")}
    failed = [trial for trial in trials if trial.values[0] is None]
    assert 0.1 * len(trials) < len(failed) < 0.3 * len(trials)
    assert len(without) > len(alone) > 0  # a question whose own answer failed cannot tell uplift
    for trial in trials:
        target = golds[trial.query].target
        truth = say_by_the_block(
            f"{golds[trial.query].fields['number']} {golds[trial.query].fields['thing']}?\n<supplement>"
            f"{trial.written[0].supplement.text}"
        )
        assert trial.labels == ([] if trial in failed else [float(truth == target)])
    options = Rule().options(trials, alone)
    count = sum(len({one.written for one in trials if one.query == query and one.labels}) for query in alone)
    assert sum(one.supplement != NOTHING for said in options.values() for one in said) == count


def test_a_generator_that_fails_is_no_label_either() -> None:
    task = shouting_task()
    actor = FunctionModel("python:actor", lambda request: "A")
    generator = FunctionModel("python:generator", lambda request: Completion.failed("truncated", "cut"))
    bench = Bench(task, actor, Sampling(), 1, WORDINGS["lab"], "start", _no_limit())
    (query, *_) = [example.id for example in task.examples("test")]
    (trial,) = bench.play(bench.write([Wish((query, ()), "cot")], writer_of(generator, SupplementSettings())))
    assert (trial.failure, trial.labels, trial.calls, trial.written) == ("truncated", [], 0, ())
    assert Rule().options([trial], {query: 0.0}) == {}


def _no_limit():
    from fulcrum.calls import Budget

    return Budget()


@pytest.mark.parametrize("when", ["start", "turn"])
def test_a_note_in_a_dialogue_stands_at_its_start_or_at_one_turn(when: When) -> None:
    task = countdown_task([3])
    (query,) = [example.id for example in task.examples("test")]
    asked: list[Request] = []
    seen: list[Request] = []

    def write(request: Request) -> str:
        asked.append(request)
        return f"note {len(asked)}"

    def act(request: Request) -> str:
        seen.append(request)
        return request.messages[-1].content.split("\n")[0].upper()

    bench = Bench(task, FunctionModel("python:act", act), Sampling(), 1, WORDINGS["lab"], when, _no_limit())
    (alone,) = bench.alone([query])
    states = [state for state, _ in alone.said]
    assert [len(since) for _, since in states] == {"start": [0], "turn": [0, 2, 4]}[when]
    seen.clear()
    writer = writer_of(FunctionModel("python:write", write), SupplementSettings(when=when), 1.0)
    trials = bench.play(bench.write([Wish(state, FREE) for state in states], writer))
    assert [trial.labels for trial in trials] == [[1.0]] * len(states)
    assert [len(request.messages) for request in asked] == {"start": [1], "turn": [2, 4, 6]}[when]
    assert [[one.since for one in trial.written] for trial in trials] == [[since] for _, since in states]
    assert [trial.calls for trial in trials] == {"start": [3], "turn": [3, 2, 1]}[when], "from the note on"
    blocks = [
        (place, one.content.split("note ")[1][0])
        for request in seen
        for place, one in enumerate(request.messages)
        if "<supplement>" in one.content
    ]
    assert sorted(blocks) == {"start": [(0, "1")] * 3, "turn": [(1, "1"), (3, "2"), (5, "3")]}[when]


def test_up_to_its_turn_a_trial_takes_no_new_call(colours: Path, tmp_path: Path) -> None:
    flags = {"task": "python:colour_talks:task", "settings.when": "turn"}
    with Run(tmp_path / "run", read_recipe(colours, flags)) as run:
        bench = bench_for(run, run.recipe.settings_as(SupplementSettings))
        alone = bench.alone([example.id for example in run.task.examples("train")])
        before = run.ledger.total().calls
        last = [trial.said[-1][0] for trial in alone]
        trials = bench.play([Wish(state, "cot", given=Supplement("cot", f"{n} red")) for n, state in enumerate(last)])
        made = run.ledger.total().calls - before
    assert all(len(trial.said) > 1 for trial in alone)
    assert made == sum(trial.calls for trial in trials) == len(trials)


def test_the_reward_is_the_uplift_and_a_failure_has_none(colours: Path, tmp_path: Path) -> None:
    with Run(tmp_path / "run", read_recipe(colours)) as run:
        settings = run.recipe.settings_as(SupplementSettings)
        things = {example.fields["thing"]: example.id for example in run.task.examples("train")}
        prompts = {(user(thing),): (query, ()) for thing, query in things.items()}
        bench = bench_for(run, settings)
        alone = {query: float(thing == "snow") for thing, query in things.items()}
        reward = uplift_reward(bench, prompts, alone)
        asked = [(user("ax"),), (user("ax"),), (user("snow"),), (user("ax"),)]
        assert reward(asked, ["red", "[[form: cot]]\nblue", "anything", "[[form: none]]"]) == [1.0, 0.0, 0.0, 0.0]
        broken = FunctionModel("python:broken", lambda request: Completion.failed("server"))
        assert uplift_reward(bench_for(run, settings, broken), prompts, alone)(asked[:1], ["red"]) == [None]


def told(query: str, supplement: Supplement, value: float, verdict: str) -> Trial:
    return Trial(query, supplement.form, (Written((), supplement),), (value,), (verdict,), ("",), 1)  # pyright: ignore[reportArgumentType]


def helped(query: str, form: str, body: str) -> Trial:
    return told(query, Supplement(form, body), 1.0, "right")


def test_a_question_whose_own_answer_cannot_be_judged_makes_no_pair(
    colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def alone(bench: Bench, queries: list[str]) -> list[Trial]:
        odd, *others = queries
        return [told(odd, NOTHING, 0.0, "unparsable"), *(told(query, NOTHING, 0.0, "wrong") for query in others)]

    monkeypatch.setattr(Bench, "alone", alone)
    with Run(tmp_path / "run", read_recipe(colours)) as run:
        step = Steps(run, run.recipe.settings_as(SupplementSettings))
        step.refuse_hopeless()
        odd, other, *_ = [trial.query for trial in step._unhelped]
        pool = [told(query, Supplement("cot", "help"), 1.0, "right") for query in (odd, other)]
        assert {pair.winner.state[0] for pair in step.pairs(pool)} == {other}
        assert {state[0] for state, _ in step.worth_imitating([pool])} == {other}


def test_an_answer_drawn_again_that_cannot_be_judged_was_no_luck_either() -> None:
    first, garbled = told("q", NOTHING, 1.0, "right"), told("q", NOTHING, 0.0, "unparsable")
    assert garbled.labels == [] and first.with_attempts(garbled).with_attempts(garbled).labels == [1.0, 0.0, 0.0]


def test_what_was_solved_by_luck_is_not_solved(colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One question is solved, drawn again, always; another only at first; the third never, and is not drawn again."""
    asked: list[tuple[int, float, list[str]]] = []

    def alone(bench: Bench, queries: list[str]) -> list[Trial]:
        asked.append((bench.samples, bench.sampling.temperature, list(queries)))
        if bench.sampling.temperature == 0:
            known, lucky, *others = queries
            return [
                *(told(query, NOTHING, 1.0, "right") for query in (known, lucky)),
                *(told(query, NOTHING, 0.0, "wrong") for query in others),
            ]
        known, lucky = queries
        return [
            replace(told(known, NOTHING, 1.0, "right"), values=(1.0,) * 3, calls=3),
            replace(told(lucky, NOTHING, 0.0, "wrong"), values=(0.0,) * 3, calls=3),
        ]

    monkeypatch.setattr(Bench, "alone", alone)
    recipe = read_recipe(colours, {"settings.luck_samples": "3", "settings.margin": "0.25"})
    with Run(tmp_path / "run", recipe) as run:
        step = Steps(run, run.recipe.settings_as(SupplementSettings))
        step.refuse_hopeless()
        (_, _, queries), (samples, temperature, again) = asked
        known, lucky, wrong, *_ = queries
        assert (samples, temperature, again) == (3, 1.0, [known, lucky])
        assert [step._alone[query] for query in (known, lucky, wrong)] == [1.0, 0.25, 0.0]
        pool = [told(query, Supplement("cot", "help"), 1.0, "right") for query in (known, lucky)]
        imitated = step.worth_imitating([pool])
        assert (lucky, Supplement("cot", "help")) in [(state[0], said) for state, said in imitated]
        assert [state[0] for state, said in imitated if said == NOTHING] in ([known], [])


def test_the_limit_of_answers_holds_on_the_task_of_the_run_only(colours: Path, tmp_path: Path) -> None:
    limits: list[int] = []

    def answer(request: Request) -> str:
        limits.append(request.sampling.max_tokens)
        return "red"

    flags = {"models.generator": "http://localhost:1/v1#tiny", "settings.answer_tokens": "7"}
    with Run(tmp_path / "run", read_recipe(colours, flags)) as run:
        write_card(run, "trained")
        (run.artifact / STATIC_PROMPT).write_text("")
        for task in (run.task, load_task("task.toml"), shouting_task(max_tokens=99)):
            every = contenders(run, FunctionModel("python:answer", answer), task)
            baseline, fixed = (one.solver for one in every if one.solver.name in ("direct", EMPTIED))
            for solver in (baseline, fixed):
                question = task.questions("test")[0]
                solver.answer([Turn(question, question.messages)])
    assert limits == [7, 7, 7, 7, 99, 99]


def test_rounds_that_end_early_are_said_to(
    colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    learned = Learned(Weights("hf:generator", "full"), [], 0, "round 1 had nothing to learn from: no notes", [])
    monkeypatch.setattr("fulcrum.supplement.method.learn", lambda run, settings: learned)
    monkeypatch.setattr("fulcrum.supplement.method.write_artifact", lambda run, settings, learned: None)
    with pytest.raises(SystemExit, match="0"):
        main(["train", str(colours), "--output", str(tmp_path / "run"), "--models.generator", "hf:generator"])
    assert "The rounds ended early: round 1 had nothing to learn from: no notes." in capsys.readouterr().out


class ScriptedPolicy:
    """Stands for GRPO: asks for the reward of some texts, a step each, and may be killed after some."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps: list[list[str]] = []
        self.options: Mapping[str, object] = {}
        monkeypatch.setitem(sys.modules, "fulcrum.training.policy", SimpleNamespace(optimise=self.optimise))

    def optimise(self, model, prompts, reward, output: Path, settings, **options) -> None:
        self.options = options
        for texts in self.steps:
            if not texts:
                raise KeyboardInterrupt
            reward([prompts[0]] * len(texts), texts)
        output.mkdir()


def test_a_round_of_grpo_reports_the_calls_that_it_made_and_no_pool(
    colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = ScriptedPolicy(monkeypatch)
    monkeypatch.setattr(Steps, "_dev", lambda step, weights: {"dev/mean": 1.0, "dev/alone": 0.5, "dev/difference": 0.5})
    weights = Weights("hf:generator", "full", Path("unused"))
    flags = {"settings.trainer": "grpo", "settings.policy.tuning": "full"}
    with Run(tmp_path / "run", read_recipe(colours, flags)) as run:
        step = Steps(run, run.recipe.settings_as(SupplementSettings))
        step.refuse_hopeless()
        policy.steps = [["red", "blue"], []]
        with pytest.raises(KeyboardInterrupt):
            step.reinforce("round-1", weights, 999)
        policy.steps = [["red", "blue"], ["red", "green", "[[form: none]]"]]
        trained, _, calls = step.reinforce("round-1", weights, 999)
        assert calls == 3, "red and blue before the kill, green after it; what is stored is not paid again"
        assert policy.options["cut_reward"] == 0.0
        pool = [told(step._unhelped[0].query, Supplement("cot", "red"), 1.0, "right")]
        unhelped = len(step._unhelped)
        first, last = step.look(0, trained, [pool], 1, 0), step.look(1, trained, [pool], 1, calls)
    assert (first["pool/trials"], first["actor/calls"]) == (1, unhelped + 1)
    assert last["actor/calls"] == unhelped + 1 + 3
    assert not [name for name in last if name.startswith(("pool/", "labels/"))]


@pytest.mark.parametrize(
    ("actor", "sentence"),
    [
        ("right", r"already solves all \d+ training questions.*use harder questions"),
        ("wrong", r"no answer was ever right, with \d+ supplements.*fulcrum validate"),
        ("deaf", r"says word for word what it says alone.*ignores the supplement's block: use another wording"),
    ],
)
def test_an_actor_that_teaches_nothing_ends_the_run_with_a_sentence(
    colours: Path, tmp_path: Path, actor: str, sentence: str
) -> None:
    with Run(tmp_path / "run", read_recipe(colours, {"models.actor": f"python:colour_bots:{actor}"})) as run:
        with pytest.raises(TrainingError, match=sentence):
            learn(run, run.recipe.settings_as(SupplementSettings))
        asked_generator = run.ledger.snapshot().get("generator")
        assert (asked_generator is None) == (actor == "right")  # the baseline comes first, and alone settles that


def reason(rule: Rule, *values: float, text: str = "so", calls: int = 1, alone: float = 0.0) -> str:
    """Return why some supplements to one question teach nothing, where the actor says and said a text."""
    trials = [
        replace(told("q", Supplement("cot", f"note {n}"), value, "partial"), answers=(text,), calls=calls)
        for n, value in enumerate(values)
    ]
    return nothing_to_learn(rule, {"q": alone}, trials, {"q": ("so", "")})


def test_an_actor_is_said_to_ignore_the_block_only_where_all_that_it_said_is_known() -> None:
    assert "word for word" in reason(Rule(), 0.4, 0.4, alone=0.4)
    assert "word for word" not in reason(Rule(), 0.4, 0.4, alone=0.4, calls=2), "an earlier turn may have changed"
    assert "word for word" not in reason(Rule(), 0.4, 0.4, alone=0.4, text=""), "a tool was called, who knows how"


def test_no_answer_was_right_is_said_only_if_so() -> None:
    """A graded score is rarely 1: what counts is whether a supplement lifted it, unless success is all or nothing."""
    assert "no answer was ever right" in reason(Rule(), 0.0, 0.0, text="new")
    assert "no answer was ever better than alone" in reason(Rule(), 0.3, 0.4, text="new", alone=0.4)
    assert "no answer was ever right" in reason(Rule("binary"), 0.3, 0.9, text="new", alone=0.4)
    assert "lower margin" in reason(Rule(margin=0.5), 0.3, 0.5, text="new", alone=0.4)


SPOILT = """
from dataclasses import replace
from fulcrum.task.load import load_task

task = load_task("task.toml")


def no_dev():
    return replace(task, splits={**task.splits, "dev": []})


def no_targets():
    return replace(task, splits={**task.splits, "dev": [replace(one, target=None) for one in task.examples("dev")]})
"""


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ({"models.generator": "python:colour_bots:write"}, "cannot be trained"),
        ({"models.generator": "http://localhost:1/v1#tiny"}, "cannot be trained"),
        ({"models.generator": "hf:unused?adapter=some"}, "cannot wear an adapter"),
        ({"models.generator": "hf:unused", "task": "python:spoilt_colours:no_dev"}, "split 'dev' is empty"),
        ({"models.generator": "hf:unused", "task": "python:spoilt_colours:no_targets"}, "dev examples have no target"),
    ],
)
def test_what_cannot_work_is_refused_before_any_call(
    colours: Path, tmp_path: Path, flags: dict[str, str], sentence: str
) -> None:
    (tmp_path / "spoilt_colours.py").write_text(SPOILT)
    recipe = read_recipe(colours, flags)
    with pytest.raises((ModelError, TaskError), match=sentence):
        recipe.method.plan(recipe)
    with Run(tmp_path / "run", recipe) as run:
        with pytest.raises((ModelError, TaskError), match=sentence):
            recipe.method.learn(run)
        assert not run.store.paid()


def planned(recipe: Path, **flags: str) -> dict[tuple[str, str], int]:
    """Return the calls of a plan by stage and role."""
    read = read_recipe(recipe, {"models.generator": "hf:unused", "settings.policy.tuning": "full"} | flags)
    return {(row.stage, row.role): row.calls for row in read.method.plan(read)}


def test_the_plan_counts_the_votes_the_dose_and_the_actors_own_note(colours: Path) -> None:
    test = len(read_recipe(colours).task.examples("test"))
    rows = planned(colours, **{"settings.votes": "4"})
    asked = rows["evaluation", "actor"] + rows["evaluation, own notes", "actor"]
    assert asked == (9 + 4 + 1) * test
    assert rows["evaluation", "generator"] == 3 * test


@pytest.mark.parametrize("when", ["start", "turn"])
def test_the_plan_of_dialogues_counts_their_turns(colours: Path, when: str) -> None:
    flags = {"task": "python:colour_talks:task", "settings.when": when, "settings.rounds": "0"}
    rows, turns = planned(colours, **flags), 5
    settings = read_recipe(colours, flags).settings_as(SupplementSettings)
    notes = turns if when == "turn" else 1
    assert rows["alone", "actor"] == rows["dev alone", "actor"] == 25 * turns
    tried = allowance(warm_start_pool(settings), settings, 25)
    assert rows["warm start", "actor"] == tried * (3 if when == "turn" else turns), (
        "a turn is in the middle, on average"
    )
    assert rows["warm start, dev", "actor"] == 25 * turns
    assert rows["warm start, dev", "generator"] == rows["evaluation, own notes", "actor"] == 25 * notes
    assert rows["evaluation", "actor"] == (9 if when == "turn" else 8) * 25 * turns


def test_the_plan_of_grpo_counts_its_steps(colours: Path) -> None:
    flags = {
        "settings.trainer": "grpo",
        "settings.rounds": "1",
        "settings.policy.batch_size": "32",
        "settings.label_samples": "3",
        "settings.label_temperature": "1",
    }
    rows = planned(colours, **flags, **{"settings.policy.steps": "50"})
    assert rows["round 1", "actor"] == 50 * 32 * 3
    assert ("round 1", "generator") not in rows, "the trainer itself writes"
    pools = planned(colours, **flags | {"settings.trainer": "dpo"})
    assert 0 <= pools["round 1", "actor"] - planned(colours, **flags)["round 1", "actor"] < 32 * 3


def test_an_endpoint_that_is_down_is_said_to_be_down(colours: Path, tmp_path: Path) -> None:
    flags = {"models.actor": "python:colour_bots:down"}
    with (
        Run(tmp_path / "run", read_recipe(colours, flags)) as run,
        pytest.raises(TrainingError, match=r"none of the \d+ training questions.*actor failed.*fulcrum doctor"),
    ):
        learn(run, run.recipe.settings_as(SupplementSettings))


def test_a_spent_budget_stops_the_pool_and_scores_nothing_by_halves(colours: Path, tmp_path: Path) -> None:
    with Run(tmp_path / "run", read_recipe(colours, {"budget.calls": "60"})) as run:
        step = Steps(run, run.recipe.settings_as(SupplementSettings))
        with pytest.raises(BudgetSpent):
            step.refuse_hopeless()
            step.try_out(
                "warm-start", Weights("python:colour_bots:write", "full"), warm_start_pool(SupplementSettings()), []
            )
    assert not list((tmp_path / "run" / "stages").glob("warm-start*/trials.jsonl"))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"settings.label_samples": "3"}, "at label_temperature 0 are all the same"),
        ({"settings.when": "turn", "settings.label_samples": "2", "settings.label_temperature": "1"}, "one dialogue"),
        ({"settings.preference.tuning": "lora"}, "must agree: warm_start has full"),
    ],
)
def test_settings_that_cannot_work_are_refused(colours: Path, flags: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        read_recipe(colours, flags)


def test_silence_costs_no_call_and_is_worth_the_baseline(colours: Path, tmp_path: Path) -> None:
    with Run(tmp_path / "run", read_recipe(colours)) as run:
        bench = bench_for(run, run.recipe.settings_as(SupplementSettings))
        queries = [example.id for example in run.task.examples("train")]
        before = bench.alone(queries)
        calls = run.ledger.total().calls
        after = bench.play([Wish((query, ()), NONE, given=NOTHING) for query in queries])
        assert run.ledger.total().calls == calls
    assert [trial.values for trial in before] == [trial.values for trial in after]
