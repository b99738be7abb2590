"""The writer, the controls, and the audit, with scripted models."""

from collections.abc import Callable
from dataclasses import replace
from itertools import count

import pytest

from fulcrum.calls import Ledger
from fulcrum.chat import Completion, Request, Sampling, system, user
from fulcrum.chat.function import FunctionModel
from fulcrum.evaluation.baselines import Direct
from fulcrum.evaluation.rollouts import SolverRollouts, roll_out
from fulcrum.evaluation.solver import Turn, requests_for
from fulcrum.supplement.audit import audit, holds_answer
from fulcrum.supplement.controls import Fixed, Padded, Shuffled, WrongAnswer, static_prompt
from fulcrum.supplement.forms import NOTHING, Supplement
from fulcrum.supplement.labels import Option
from fulcrum.supplement.method import DOSE, EMPTIED, SUPPLEMENTED, WITHOUT_ANSWERS
from fulcrum.supplement.settings import SupplementSettings
from fulcrum.supplement.solver import Help, Supplemented
from fulcrum.supplement.wording import WORDINGS
from fulcrum.supplement.writer import SupplementWriter, writer_of
from fulcrum.task import Example, PromptTemplate, Question, Score, Scorer, Task, graded
from fulcrum.task.scorers import ExactScorer, NumberScorer
from fulcrum.task.scorers.scorer import target_text
from support.evaluation import SameText, shouting_task

GREEDY = Sampling()
LAB = SupplementSettings(wording="lab")


def model(function: Callable[[Request], str | Completion]) -> FunctionModel:
    return FunctionModel("python:function", function)


def writer(function: Callable[[Request], str | Completion], settings: SupplementSettings = LAB) -> SupplementWriter:
    return writer_of(model(function), settings)


def note(request: Request) -> str:
    """A generator that says about which question it writes."""
    return f"[[form: cot]]\nabout {request.messages[-1].content.split()[0]}"


def turns_of(*texts: str) -> list[Turn]:
    return [Turn(Question(f"id-{text}", (system("s"), user(text))), (system("s"), user(text))) for text in texts]


def rewritten(help: Help, turns: list[Turn]) -> list[str]:
    return [one.request.messages[-1].content for one in help(turns, requests_for(turns, GREEDY))]


def test_every_question_gets_another_ones_supplement_and_always_the_same() -> None:
    turns = turns_of("a", "b", "c", "d")
    shuffled = Shuffled(writer(note))
    first = rewritten(shuffled, turns)
    given = [text.split("about ")[1][0] for text in first]
    assert sorted(given) == ["a", "b", "c", "d"] and all(x != y for x, y in zip(given, "abcd", strict=True))
    assert rewritten(shuffled, turns[2:]) == first[2:]  # a dialogue that goes on when others have ended


def test_a_lone_question_is_not_given_its_own_supplement_as_anothers() -> None:
    turns = turns_of("a")
    (shuffled,) = Shuffled(writer(note))(turns, requests_for(turns, GREEDY))
    assert shuffled.request.messages[-1].content == "a" and shuffled.added is None


def test_the_dummy_is_as_long_as_the_supplement_and_says_nothing() -> None:
    turns = turns_of("a", "b")
    own, padded = rewritten(writer(note).rewrite_turns, turns), rewritten(Padded(writer(note)), turns)
    assert [len(text) for text in padded] == [len(text) for text in own]
    assert not any("about" in text for text in padded)
    silent = writer(lambda request: "[[form: none]]")
    assert rewritten(Padded(silent), turns) == ["a", "b"]


def test_a_wrong_answer_is_another_questions_answer() -> None:
    actor = model(lambda request: request.messages[-1].content.upper())
    doses = rewritten(WrongAnswer(writer(note), actor, str), turns_of("a", "b", "c"))
    given = [text.split("[[form: answer]]\n")[1][0] for text in doses]
    assert sorted(given) == ["A", "B", "C"] and all(x != y for x, y in zip(given, "ABC", strict=True))


def test_a_wrong_answer_is_never_the_answer_that_the_actor_gives_anyway() -> None:
    def decide(request: Request) -> Completion:
        text = request.messages[-1].content
        return Completion.failed("server") if text == "e" else Completion("no" if text == "d" else "yes")

    dose = WrongAnswer(writer(note), model(decide), lambda text: text)
    given = [text.partition("[[form: answer]]\n")[2].split("\n")[0] for text in rewritten(dose, turns_of(*"abcde"))]
    assert given[:4] == ["no", "no", "no", "yes"] and given[4] in ("yes", "no")
    assert rewritten(dose, turns_of("a", "b")) == ["a", "b"], "nobody answers anything else: there is no dose"


def test_fixed_text_needs_no_writer() -> None:
    assert rewritten(Fixed("", WORDINGS["lab"], "start"), turns_of("a")) == [
        "a\n\n<supplement>\n\n</supplement>\nThe supplement may be wrong."
    ]


def test_the_static_prompt_takes_the_largest_gains_one_a_question() -> None:
    def option(query: str, body: str, value: float) -> Option:
        return Option((query, ()), Supplement("cot", body), value, 0.0)

    helpful = [option("p", "long words", 1.0), option("p", "short", 1.0), option("q", "little", 0.5)]
    helpful += [option("r", "short", 1.0), option("r", "other", 0.9)]
    text = static_prompt(helpful, 3)
    assert text.split("\n\n") == [f"[[form: cot]]\n{body}" for body in ("short", "other", "little")]
    idle = replace(option("s", "easy", 1.0), alone=1.0)
    silent = Option(("t", ()), NOTHING, 1.0, 0.0)
    assert static_prompt([*helpful, idle, silent], 9) == text, "binary labels call these helpful too"
    assert static_prompt(helpful, 1) == "[[form: cot]]\nshort" and static_prompt([], 3) == ""


def solve(help: Help, actor: FunctionModel, task: Task, name: str = SUPPLEMENTED) -> SolverRollouts:
    role = "method" if name == SUPPLEMENTED else "control"
    return roll_out(Supplemented(name, help, actor, GREEDY), task, "test", role=role, ledger=Ledger())


def shout(request: Request) -> str:
    """Solves `a` alone; else says what stands in the block."""
    text = request.messages[-1].content
    if "<supplement>" in text:
        return text.split("</supplement>")[0].strip().split("\n")[-1].removeprefix("the answer is ")
    return "A" if text == "a" else f"cannot {text}"


def evaluation(generator: Callable[[Request], str | Completion], task: Task) -> list[SolverRollouts]:
    actor = model(shout)
    baseline = roll_out(Direct(actor, GREEDY), task, "test", role="baseline", ledger=Ledger())
    quiet = writer_of(model(generator), LAB, without=frozenset({"answer", "cot"}))
    helps = {
        SUPPLEMENTED: writer(generator).rewrite_turns,
        WITHOUT_ANSWERS: quiet.rewrite_turns,
        EMPTIED: Fixed("", WORDINGS["lab"], "start"),
        DOSE: WrongAnswer(writer(generator), actor, task.answer_key),
    }
    return [baseline, *(solve(help, actor, task, name) for name, help in helps.items())]


def test_a_generator_forced_to_write_the_answer_is_caught() -> None:
    task = shouting_task(test=("a", "b", "c", "d", "e"))
    answer = lambda request: f"[[form: answer]]\nthe answer is {request.messages[-1].content[0].upper()}"  # noqa: E731
    found = audit(task, evaluation(answer, task))
    assert (found.n, found.forms) == (5, {"answer": 5})
    assert (found.leaks, found.leaks_by_chance) == (1.0, 0.0)
    assert found.gain == pytest.approx(0.8) and found.gain_without_answers == 0
    assert (found.harm, found.harm_of_wrong_answers) == (0.0, 1.0)
    assert found.changed == pytest.approx(0.8)
    said = " ".join(found.sentences())
    assert "100.0 % of 5 supplements hold the final answer; 0.0 % hold another question's by chance" in said
    assert "hands over answers" in said and "believes what it is told" in said


def test_a_generator_that_mostly_says_nothing_is_not_said_to_be_ignored() -> None:
    """Of many answers hardly any changes, of those with a supplement all do; the empty block is measured on these."""
    letters = tuple("abcdefghijklmnopqrstuv")

    def seldom(request: Request) -> str:
        letter = request.messages[-1].content[0]
        return "[[form: background]]\nB" if letter == "b" else "[[form: none]]"

    task = shouting_task(test=letters)
    found = audit(task, evaluation(seldom, task))
    assert (found.n, found.changed, found.changed_by_block) == (1, 1.0, 1.0)
    assert "hardly reads" not in " ".join(found.sentences())
    mute = audit(task, evaluation(lambda request: "[[form: none]]", task))
    assert mute.changed is None and mute.changed_by_block is None


def test_an_innocent_generator_is_not_accused() -> None:
    task = shouting_task(test=("a", "b", "c", "d", "e"))
    found = audit(task, evaluation(lambda request: "[[form: background]]\nletters have a large shape", task))
    assert (found.leaks, found.harm) == (0.2, 1.0)  # "a large shape" happens to hold the word a
    assert found.leaks_by_chance == 0.2
    assert "hands over" not in " ".join(found.sentences())


def test_an_answer_hides_in_words_or_scores_as_it_stands() -> None:
    task = shouting_task()
    (example, *_) = task.examples("test")
    assert holds_answer(task, example.id, "A", "surely, the answer is a.")
    assert holds_answer(task, example.id, "never", "A")  # scores 1.0
    assert not holds_answer(task, example.id, "A", "apples")


def holds(scorer: Scorer, target: object, body: str) -> bool:
    task = Task("t", {"test": [Example({"q": "q"}, target=target)]}, PromptTemplate("{q}"), scorer)
    (example,) = task.examples("test")
    return holds_answer(task, example.id, task.gold(example), body)


@pytest.mark.parametrize(
    ("gold", "body"),
    [
        ("Paris", "It is **Paris**."),
        ("Paris", 'the answer is "PARIS"'),
        ("Paris", "(Paris)"),
        ("Paris", "Paris!"),
        ("Paris", "answer:Paris"),
        ("Paris", "_Paris_"),
        ("New York", "<New York>; trust me"),
        ("Zürich", "- ZU\u0308RICH!"),
        ("القاهرة", "هي: القاهرة!"),
        ("北京", "首都是北京。"),
        ("3.5", "x=3.5, or so"),
        ("1800", "in all 1,800."),
    ],
)
def test_an_answer_is_found_whatever_stands_around_it(gold: str, body: str) -> None:
    assert holds(ExactScorer(), gold, body)


@pytest.mark.parametrize(
    ("gold", "body"),
    [
        ("Paris", "comparison"),
        ("3", "x=3.5"),
        ("4", "-4"),
        ("18", "1,800"),
        ("house", "house_words"),
        ("SELECT a FROM t WHERE b > 3", "SELECT a FROM t WHERE b < 3"),
    ],
)
def test_part_of_a_word_or_a_number_is_no_answer(gold: str, body: str) -> None:
    assert not holds(ExactScorer(), gold, body)


@pytest.mark.parametrize(
    "body",
    ["She makes $1,800 in 2 days", "1800: then 2", "1800.00 in 2 days", r"\boxed{1800}, 2 times", "=1800; 2 times"],
)
def test_any_number_of_a_note_can_be_the_answer(body: str) -> None:
    assert holds(NumberScorer(), 1800, body)
    assert not holds(NumberScorer(), 18, body) and not holds(NumberScorer(), -1800, body)


def test_where_all_answers_are_the_same_leaks_are_told_without_chance() -> None:
    task = shouting_task(test=("a",))
    found = audit(task, evaluation(lambda request: "[[form: answer]]\nthe answer is A", task))
    assert (found.leaks, found.leaks_by_chance) == (1.0, None)
    said = found.sentences()[0]
    assert said.startswith("Leak: 100.0 % of 1 supplements hold the final answer") and "unknown" in said


class Marks(SameText):
    """Judges by itself what has no target."""

    needs_target = False

    def score(self, example: Example, text: str) -> Score:
        return graded(0.5) if example.target is None else super().score(example, text)

    def gold(self, example: Example) -> str:
        return target_text(example)


@pytest.mark.parametrize(("targets", "leaks"), [((None, None), None), (("A", None, "C"), 0.5)])
def test_where_there_is_no_right_answer_none_can_leak(targets: tuple[str | None, ...], leaks: float | None) -> None:
    examples = [Example({"text": text}, target=target) for text, target in zip("abc", targets, strict=False)]
    task = shouting_task(scorer=Marks(), splits={"test": examples})
    found = audit(task, evaluation(lambda request: "[[form: answer]]\nit is A", task))
    assert (found.n, found.known) == (len(targets), len(targets) - targets.count(None))
    assert found.leaks == leaks
    said = " ".join(found.sentences())
    assert ("50.0 % of 2 supplements hold" in said) if leaks else ("Leak" not in said)


@pytest.mark.parametrize(
    ("kind", "solved"), [("truncated", True), ("empty", True), ("server", False), ("timeout", False)]
)
def test_what_a_generator_fails_at_is_measured_and_what_befalls_it_is_not(kind: str, solved: bool) -> None:
    """Too long a supplement leaves the actor alone, as it will when deployed; a dead server leaves no score at all."""
    task = shouting_task(test=("a",))
    failing = writer(lambda request: Completion.failed(kind, "x"))  # pyright: ignore[reportArgumentType]
    (rollout,) = solve(failing.rewrite_turns, model(shout), task).rollouts
    assert rollout.score.verdict == ("right" if solved else "failed")
    (deployed,) = failing.rewrite([Request((user("a"),))])
    assert deployed.request.messages == (user("a"),) and deployed.added is None


def test_explored_supplements_differ_and_deployed_ones_do_not() -> None:
    numbers = count()
    asked: list[Request] = []

    def write(request: Request) -> str:
        asked.append(request)
        return f"number {next(numbers)}"

    requests = [Request((user("a"),), sample=place) for place in range(3)]
    writer(write).rewrite(requests)
    assert [request.sample for request in asked] == [0, 0, 0]
    writer_of(model(write), LAB, 1.0).rewrite(requests)
    assert [request.sample for request in asked[3:]] == [0, 1, 2]
