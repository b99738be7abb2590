"""Customers that a model plays, logs of people, and their failures."""

import json
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pytest

from fulcrum.calls.ledger import Ledger
from fulcrum.chat import Completion, Request, Sampling
from fulcrum.errors import LibraryError, TaskError
from fulcrum.evaluation.baselines import Direct
from fulcrum.evaluation.rollouts import roll_out
from fulcrum.recipe import check_recipe
from fulcrum.settings import Document
from fulcrum.strategies.logs import read_logs
from fulcrum.strategies.support import DONE, SimulatedCustomers
from fulcrum.task import Example, Question, Task
from fulcrum.task.load import load_task
from support.scripted import ScriptedModel


@pytest.fixture
def task(tmp_path: Path) -> Task:
    (tmp_path / "policy.md").write_text("refund late parcels.")
    rows = [{"opening": f"hello {n}", "wish": f"SECRET-{n}"} for n in range(20)]
    (tmp_path / "customers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "support.toml").write_text(
        'name = "support"\npolicy = "policy.md"\ncustomers = "customers.jsonl"\n'
        'customer = "python:none:customer"\njudge = "python:none:judge"\nmax_turns = 3\n'
    )
    return load_task(f"dialogue:{tmp_path / 'support.toml'}")


def test_a_plan_counts_what_the_customer_and_its_judge_are_asked(task: Task, tmp_path: Path) -> None:
    def planned(**judge: str) -> dict[tuple[str, str], int]:
        models = {"student": "python:none:student", "teacher": "python:none:teacher", **judge}
        data = {"method": "strategies", "task": f"dialogue:{tmp_path / 'support.toml'}", "models": models}
        given = check_recipe(Document(data))
        rows = given.method.plan(given)
        assert {row.role for row in rows} == set(given.asked), "each has a model, and so a price"
        return {(row.stage, row.role): row.calls for row in rows}

    calls = planned(judge="python:none:judge")
    customer, judge = (calls["all dialogues", f"{role} of the task"] for role in ("customer", "judge"))
    spoken = [
        calls[one] for one in calls if one[1] == "student" or one in (("gap", "teacher"), ("evaluation", "teacher"))
    ]
    assert customer == sum(spoken), "one answer to each turn of an agent"
    assert judge == (customer - calls["rounds", "student"]) // 5, "in the rounds no dialogue is judged as a whole"
    by_outcome = planned()
    assert by_outcome["all dialogues", "judge of the task"] == judge + 2 * calls["rounds", "student"]
    assert by_outcome["all dialogues", "customer of the task"] == customer + by_outcome["judging", "student"]


VERDICT = '{"success": true, "satisfaction": 4, "violations": ["too slow"], "customer_fault": false}'


def played(task: Task, customer: object, judge: object = VERDICT, replies: int = 1):
    def model(answer: object) -> ScriptedModel:
        return ScriptedModel(lambda _: answer if isinstance(answer, Completion) else Completion(str(answer)))

    models = {"customer": model(customer), "judge": model(judge)}
    assert isinstance(task.environment, SimulatedCustomers)
    environment = task.environment.with_models(models)
    example = next(iter(task.splits["train"]))
    episode = environment(example, task.question(example))
    for _ in range(replies):
        episode.step(Completion("your parcel is late."))
    return episode, models


def test_a_customer_that_ends_is_judged(task: Task) -> None:
    episode, models = played(task, f"thanks, bye. {DONE}")
    assert episode.done and episode.messages[-1].content == "thanks, bye."
    score = episode.score()
    assert score.value == pytest.approx(0.5 + 0.5 * 0.75 - 0.1)
    assert (score.details["success"], score.details["satisfaction"]) == (True, 4)
    asked = models["judge"].requests[0].messages
    assert "refund late parcels." in asked[0].content and "SECRET" in asked[0].content
    assert "agent: your parcel is late." in asked[1].content


def test_what_the_customer_keeps_to_itself_never_reaches_the_agent(task: Task) -> None:
    episode, models = played(
        task, "<think>my SECRET is out</think>Thought: SECRET plan\n\nCustomer: and now?", replies=2
    )
    seen = " ".join(message.content for message in episode.messages)
    assert "SECRET" not in seen and episode.messages[-1].content == "and now?"
    assert "SECRET" in models["customer"].requests[0].messages[0].content


@pytest.mark.parametrize(
    ("written", "said", "leaves"),
    [
        ("Thought: SECRET\nResponse: Where is my parcel?", "Where is my parcel?", False),
        ("Thought: SECRET\n\nmore SECRET\n\nUser Response:\nHi there", "Hi there", False),
        ("**Thought:** SECRET\n\nHi", "Hi", False),
        ("**Thought**: SECRET\n**Customer:** Hi", "Hi", False),
        ("<thinking>SECRET plan</thinking>Hello", "Hello", False),
        (f"<think>SECRET: no {DONE} yet</think>Hello", "Hello", False),
        (f"Reasoning: SECRET. {DONE}", "bye.", True),
        (f"Thought: SECRET\nMessage: thanks. {DONE}", "thanks.", True),
        ("My thought: it is late.\nNo response: none.", "My thought: it is late.\nNo response: none.", False),
    ],
)
def test_a_thought_is_cut_out_however_it_is_written(task: Task, written: str, said: str, leaves: bool) -> None:
    episode, _ = played(task, written)
    assert (episode.messages[-1].content, episode.done) == (said, leaves)
    assert episode.messages[-1].role == "user" and episode.score().verdict == "partial"


@pytest.mark.parametrize("written", ["Thought: what now?", "<think>what now?", "**Reasoning:** SECRET"])
def test_a_customer_that_only_thinks_has_failed_and_says_nothing(task: Task, written: str) -> None:
    episode, _ = played(task, written)
    assert episode.done and episode.messages[-1].role == "assistant"
    assert episode.score().details == {"failure": "empty"}


def test_the_line_goes_dead_after_the_last_turn(task: Task) -> None:
    assert not played(task, "and now?", replies=2)[0].done
    assert played(task, "and now?", replies=3)[0].done


@pytest.mark.parametrize("judge", ["i liked it", '{"success": true, "satisfaction": 9}', Completion.failed("timeout")])
def test_a_judge_that_fails_is_no_bad_dialogue(task: Task, judge: object) -> None:
    assert played(task, f"bye {DONE}", judge)[0].score().verdict == "failed"


def test_a_customer_that_fails_is_no_bad_dialogue(task: Task) -> None:
    episode, _ = played(task, Completion.failed("server", "down"))
    assert episode.done and episode.score().verdict == "failed"


def test_customers_of_open_dialogues_are_asked_at_the_same_time_and_each_keeps_its_own_answer(task: Task) -> None:
    together = Barrier(4, timeout=20)

    def customer(request: Request) -> Completion:
        together.wait()  # breaks unless four are asked at once
        return Completion(f"{request.messages[-1].content} {DONE}")

    assert isinstance(task.environment, SimulatedCustomers)
    models = {"customer": ScriptedModel(customer), "judge": ScriptedModel(lambda _: Completion(VERDICT))}
    busy = replace(task, environment=task.environment.with_models(models))
    agent = ScriptedModel(lambda request: Completion(f"to {request.messages[-1].content}"))
    found = roll_out(Direct(agent, Sampling()), busy, "train", role="method", ledger=Ledger(), limit=4).rollouts
    assert len(found) == 4
    for rollout in found:
        said, answer = rollout.turns[0].content, rollout.text
        assert said == answer and rollout.score.solved and rollout.score.value < 1


def test_a_customer_without_first_words_is_named(tmp_path: Path, task: Task) -> None:
    (tmp_path / "customers.jsonl").write_text('{"opening": "hi"}\n{"wish": "a refund"}\n')
    with pytest.raises(TaskError, match=r"customers\.jsonl:2: opening"):
        load_task(f"dialogue:{tmp_path / 'support.toml'}")


def test_customers_are_recorded_like_every_model(tmp_path: Path, task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    from fulcrum.recipe import check_recipe
    from fulcrum.runs import Run
    from fulcrum.settings import Document

    (tmp_path / "talk.py").write_text(
        "def customer(request): return 'bye. [end]'\n"
        f"def judge(request): return '''{VERDICT}'''\n"
        "def agent(request): return 'hello'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    text = (tmp_path / "support.toml").read_text().replace("python:none", "python:talk")
    (tmp_path / "support.toml").write_text(text)
    models = {"student": "python:talk:agent", "teacher": "python:talk:agent"}
    given = check_recipe(Document({"method": "strategies", "task": "dialogue:support.toml", "models": models}))
    assert set(given.asked) == {"student", "teacher", "customer of the task", "judge of the task"}
    with Run(tmp_path / "run", given) as run:
        for _ in range(2):
            episode = run.task.open(run.task.examples("train")[0].id)
            episode.step(Completion("hello"))
            assert episode.score().verdict == "partial"
        spent = run.ledger.snapshot()
    assert {role: (one.calls, one.stored) for role, one in spent.items()} == {"customer": (1, 1), "judge": (1, 1)}


def test_logs_of_both_kinds_are_read(tmp_path: Path) -> None:
    path = tmp_path / "logs.jsonl"
    talk = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    lines = [{"strategy": {"scenario": "any dialogue", "do": "greet"}}, {"messages": talk}]
    path.write_text("\n".join(json.dumps(line) for line in lines))
    logs = read_logs(path)
    assert logs.advice[0][0] == "logs.jsonl:1" and logs.advice[0][1].do == "greet"
    assert [message.role for message in logs.dialogues[0][1]] == ["user", "assistant"]


def test_logs_are_read_as_other_programs_write_them(tmp_path: Path) -> None:
    path = tmp_path / "logs.jsonl"
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two\u2028three"}]
    talk = [{"role": "developer", "content": "x"}, {"role": "user", "content": parts}]
    path.write_text("\ufeff" + json.dumps({"messages": talk}, ensure_ascii=False) + "\n", encoding="utf-8")
    ((_, (told, asked)),) = read_logs(path).dialogues
    assert (told.role, asked.content) == ("system", "one\ntwo\u2028three")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("x", "not JSON"),
        ("[]", "a row is an object"),
        ("[" * 9999, "not JSON"),
        ("{}", "neither .* messages: Field required"),
        ('{"strategy": {"do": "x"}}', "neither .* scenario: Field required"),
        ('{"messages": [1]}', r"neither .* messages\.0"),
        ('{"messages": [{"role": "robot", "content": "x"}]}', r"neither .* messages\.0\.role"),
        ('{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}', "neither .* 'image_url'"),
        ('{"messages": [{"role": "assistant", "tool_calls": [{"id": "1"}]}]}', r"neither .*tool_calls\.0\.function"),
    ],
)
def test_a_line_of_neither_kind_is_named(tmp_path: Path, line: str, problem: str) -> None:
    path = tmp_path / "logs.jsonl"
    path.write_text('{"strategy": {"scenario": "any dialogue", "do": "greet"}}\n' + line + "\n")
    with pytest.raises(LibraryError, match=rf"logs\.jsonl:2: {problem}"):
        read_logs(path)


def test_the_request_says_who_is_who(task: Task) -> None:
    example = Example({"policy": "p", "opening": "o"}, target={})
    question = Question(example.id, task.template.messages(example.fields))
    seen: list[Request] = []
    model = ScriptedModel(lambda request: seen.append(request) or Completion("more"))
    episode = SimulatedCustomers("p", {}, 5, {"customer": model, "judge": model})(example, question)
    episode.step(Completion("reply"))
    assert [message.role for message in seen[0].messages] == ["system", "user", "assistant", "user"]
    assert seen[0].messages[2].content == "o" and seen[0].messages[3].content == "reply"
