from collections.abc import Callable, Sequence

import pytest

from fulcrum.chat import Completion, Failure, Request, Sampling, Tool, ToolCall, assistant, user
from fulcrum.errors import ModelError, SettingsError, TaskError
from fulcrum.evaluation.baselines import (
    BestOfN,
    Direct,
    FewShot,
    SelfConsistency,
    draw_demonstrations,
    majority,
    samples_at_equal_calls,
)
from fulcrum.evaluation.solver import Turn
from fulcrum.task import Question
from support.evaluation import SameText, shouting_task
from support.scripted import ScriptedModel

WARM = Sampling(temperature=1.0)


def turn(text: str = "a", sample: int = 0, tools: tuple[Tool, ...] = ()) -> Turn:
    question = Question(f"id-{text}", (user(text),), tools)
    return Turn(question, question.messages, sample)


def by_sample(*answers: str | Completion) -> Callable[[Request], Completion]:
    """Return a model function that gives one fixed answer for each sample index."""

    def answer(request: Request) -> Completion:
        given = answers[request.sample % len(answers)]
        return given if isinstance(given, Completion) else Completion(given)

    return answer


def vote(*answers: str | Completion, sampling: Sampling = WARM) -> tuple[Completion, dict[str, object]]:
    solver = SelfConsistency(ScriptedModel(by_sample(*answers)), len(answers), sampling, SameText().answer_key)
    (answer,) = solver.answer([turn()])
    return answer.completion, dict(answer.trace)


def test_direct_asks_once_with_tools_and_passes_failures_on() -> None:
    tool = Tool("look", "", {})

    def answer(request: Request) -> Completion:
        return Completion("fine") if request.messages[0].content == "a" else Completion.failed("timeout")

    model = ScriptedModel(answer)
    answers = Direct(model, Sampling(max_tokens=7)).answer([turn("a", tools=(tool,)), turn("b", sample=2)])
    assert [a.completion.text for a in answers] == ["fine", ""]
    assert answers[1].completion.failure == Failure("timeout")
    assert [(r.tools, r.sample, r.sampling.max_tokens) for r in model.requests] == [((tool,), 0, 7), ((), 2, 7)]


def test_attempts_never_share_a_draw_and_votes_reuse_single_draws() -> None:
    several, single = ScriptedModel(), ScriptedModel()
    SelfConsistency(several, 3, WARM, str).answer([turn(sample=0), turn(sample=1)])
    assert [request.sample for request in several.requests] == [0, 1, 2, 3, 4, 5]
    Direct(single, WARM).answer([turn(sample=sample) for sample in range(6)])
    assert single.requests == several.requests


def test_few_shot_shows_train_examples_as_earlier_turns_after_the_system_message() -> None:
    task = shouting_task()
    model = ScriptedModel()
    solver = FewShot(model, draw_demonstrations(task, 2, seed=1), Sampling())
    question = task.questions("test")[0]
    solver.answer([Turn(question, question.messages)])
    (request,) = model.requests
    assert [message.role for message in request.messages] == [
        "system",
        "user",
        "assistant",
        "user",
        "assistant",
        "user",
    ]
    shown = [message.content for message in request.messages[1:5]]
    assert {*shown[::2]} < {"x", "y", "z"}
    assert shown[1::2] == [text.upper() for text in shown[::2]]
    assert request.messages[-1] == user("a")
    assert solver.name == "few-shot@2"


def test_few_shot_never_shows_a_question_its_own_answer() -> None:
    task = shouting_task()
    model = ScriptedModel()
    questions = task.questions("train")
    FewShot(model, draw_demonstrations(task, 3), Sampling()).answer([Turn(q, q.messages) for q in questions])
    for question, request in zip(questions, model.requests, strict=True):
        shown = {message.content for message in request.messages[1:-1]}
        text = question.fields["text"]
        assert shown == {"x", "y", "z", "X", "Y", "Z"} - {text, text.upper()}


def test_few_shot_in_a_dialogue_keeps_the_dialogue_last() -> None:
    model = ScriptedModel()
    task = shouting_task()
    question = task.questions("test")[0]
    dialogue = (*question.messages, assistant("hm"), user("go on"))
    FewShot(model, draw_demonstrations(task, 1), Sampling()).answer([Turn(question, dialogue)])
    assert model.requests[0].messages[-3:] == dialogue[-3:]


def test_demonstrations_follow_the_seed_and_never_leave_the_train_split() -> None:
    task = shouting_task(train=[f"t{place}" for place in range(50)])
    train = {example.id for example in task.examples("train")}
    assert draw_demonstrations(task, 5, seed=1) == draw_demonstrations(task, 5, seed=1)
    assert draw_demonstrations(task, 5, seed=1) != draw_demonstrations(task, 5, seed=2)
    assert {question.id for question, _ in draw_demonstrations(task, 50)} == train
    with pytest.raises(TaskError, match="51 demonstrations asked for, the train split has 50"):
        draw_demonstrations(task, 51)


def test_the_majority_wins_and_the_first_text_that_says_it_is_the_answer() -> None:
    completion, trace = vote("no", "yes", "yes", "no", "yes")
    assert completion.text == "yes"
    assert trace["votes"] == {"no": 2, "yes": 3}


def test_failed_and_unparsable_draws_do_not_vote() -> None:
    completion, trace = vote(
        "?", "?", Completion.failed("timeout"), Completion("no", failure=Failure("truncated")), "yes"
    )
    assert completion.text == "yes"
    assert trace == {"votes": {"yes": 1}, "failures": {"timeout": 1, "truncated": 1}}


def test_all_unparsable_gives_the_first_text_and_all_failed_gives_the_failure() -> None:
    solver = SelfConsistency(ScriptedModel(by_sample("one", "two")), 2, WARM, lambda text: None)
    assert solver.answer([turn()])[0].completion.text == "one"
    completion, trace = vote(Completion.failed("timeout"), Completion.failed("server"))
    assert completion.failure == Failure("timeout")
    assert trace["failures"] == {"timeout": 1, "server": 1}


def test_a_vote_that_the_budget_cut_short_is_no_vote() -> None:
    completion, _ = vote("yes", "yes", Completion.failed("budget", "calls 2 of 2"))
    assert completion.failure == Failure("budget", "calls 2 of 2")


def test_a_tie_is_broken_by_the_seed_the_same_way_each_time() -> None:
    winners = [vote("no", "yes", sampling=Sampling(temperature=1, seed=seed))[0].text for seed in range(40)]
    assert winners == [vote("no", "yes", sampling=Sampling(temperature=1, seed=seed))[0].text for seed in range(40)]
    assert 8 < winners.count("yes") < 32


def test_nobody_voting_has_no_majority() -> None:
    assert majority([None, None], 0) is None
    assert majority([None, "a", None], 0) == "a"


def test_equal_tool_calls_vote_together() -> None:
    def calling(call_id: str, arguments: str) -> Completion:
        return Completion("", tool_calls=(ToolCall(call_id, "look", arguments),))

    completion, _ = vote("text", calling("1", "{}"), calling("2", "{}"))
    assert completion.tool_calls[0].id == "1"


def test_equal_draws_are_refused() -> None:
    with pytest.raises(SettingsError, match="self-consistency@3: at temperature 0"):
        SelfConsistency(ScriptedModel(), 3, Sampling(), str)
    with pytest.raises(SettingsError, match="best-of-n@2: at temperature 0"):
        BestOfN(ScriptedModel(), 2, Sampling())
    with pytest.raises(SettingsError, match="at least 1"):
        SelfConsistency(ScriptedModel(), 0, WARM, str)
    SelfConsistency(ScriptedModel(), 1, Sampling(), str)


def test_best_of_n_takes_the_highest_mean_log_probability_not_the_highest_sum() -> None:
    model = ScriptedModel(
        by_sample(
            Completion("short", logprobs=(-0.9,)),
            Completion("long and sure", logprobs=(-0.5, -0.5, -0.5)),
            Completion("cut", logprobs=(-0.1,), failure=Failure("truncated")),
        )
    )
    (answer,) = BestOfN(model, 3, WARM).answer([turn()])
    assert answer.completion.text == "long and sure"
    assert all(request.sampling.logprobs for request in model.requests)
    assert answer.trace == {"candidates": ["short", "long and sure"], "chosen": 1, "failures": {"truncated": 1}}


def test_best_of_n_without_log_probabilities_says_what_to_do() -> None:
    with pytest.raises(ModelError, match=r"gives no log-probabilities.*give a selector"):
        BestOfN(ScriptedModel(by_sample("a", "b")), 2, WARM).answer([turn()])


def test_best_of_n_asks_the_selector_only_where_there_is_a_choice_and_passes_its_failure_on() -> None:
    def answer(request: Request) -> Completion:
        text = request.messages[0].content
        return Completion.failed("server") if text == "down" else Completion(f"{text}{request.sample}")

    seen: list[list[str]] = []

    def select(turns: Sequence[Turn], candidates: Sequence[Sequence[Completion]]) -> list[int | Failure]:
        seen.extend([c.text for c in texts] for texts in candidates)
        return [Failure("timeout", "judge") if t.messages[0].content == "b" else 1 for t in turns]

    model = ScriptedModel(answer)
    answers = BestOfN(model, 2, WARM, select).answer([turn("a"), turn("down"), turn("b")])
    assert seen == [["a0", "a1"], ["b0", "b1"]]
    assert [a.completion.text for a in answers] == ["a1", "", ""]
    failures = [a.completion.failure.kind if a.completion.failure else None for a in answers]
    assert failures == [None, "server", "timeout"]
    assert not any(request.sampling.logprobs for request in model.requests)


@pytest.mark.parametrize(("calls", "attempts", "n"), [(300, 100, 3), (301, 100, 4), (10, 100, 1), (100, 100, 1)])
def test_a_baseline_at_equal_calls_never_has_fewer(calls: int, attempts: int, n: int) -> None:
    assert samples_at_equal_calls(calls, attempts) == n
