"""What a folder holds for reviewers: a library of strategies, the debates of a society, a way to test again."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from fulcrum.errors import RunError
from fulcrum.review.feedback import FeedbackQueue, Question, Statement, Word
from fulcrum.review.retest import Measurement, Retest
from fulcrum.runs import Run
from fulcrum.runs.catalog import read_resolved, reopen
from fulcrum.society.arms import Line
from fulcrum.society.debate import Transcript
from fulcrum.society.feedback import Event, append_feedback, most_split, read_feedback
from fulcrum.society.labels import label
from fulcrum.society.records import last_debates, read_answer, settings_of, shown_line, steered
from fulcrum.strategies.bench import Bench, library_file, served
from fulcrum.strategies.effects import Effects
from fulcrum.strategies.fold import Strategy
from fulcrum.strategies.library import Library


@dataclass(frozen=True, slots=True)
class Place:
    """What there is to review.

    Attributes:
        title: its name.
        library: strategies, if there are any.
        questions: a society's questions, if it has debated.
        retest: tests a strategy again.
        why_no_test: why not, if it is None.
    """

    title: str
    library: Library | None = None
    questions: FeedbackQueue | None = None
    retest: Retest | None = None
    why_no_test: str = ""


def open_place(place: Path) -> Place:
    """Open a run, an artifact, or a `library.jsonl`.

    Raises:
        RunError: it holds nothing to review.
        LibraryError: the library is damaged.
    """
    title = place.resolve().name
    if (path := library_file(place)).is_file():
        why_not = _why_no_test(place)
        return Place(title, Library(path), retest=None if why_not else _Retest(place), why_no_test=why_not)
    if (place / "resolved.json").is_file() and read_resolved(place)["method"] == "society":
        return Place(title, questions=SocietyQuestions(place))
    raise RunError(
        f"{place}: holds nothing to review; give a run that has learned strategies or a society, an artifact with "
        "strategies, or a library.jsonl"
    )


def _why_no_test(place: Path) -> str:
    if not (place / "resolved.json").is_file():
        return "this is a library without its run; review the run folder, which names the models and the task"
    if read_resolved(place)["method"] != "strategies":
        return "this run did not learn strategies, so it has no student to test them on"
    return ""


class _Retest:
    """Checks a strategy, and measures it on development dialogues with the models of a run.

    Args:
        folder: the run folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, strategy: Strategy, measures: bool) -> Measurement:
        """Check the words of a strategy as they stand, and measure them if asked to.

        Raises:
            FulcrumError: the run is in use, or its task or models cannot be opened; the text says which.
        """
        library = Library(library_file(self._folder))
        with Run(self._folder, reopen(self._folder)) as run:
            bench = Bench(run)
            findings = tuple(bench.findings(library, strategy))
            if not measures:
                return Measurement((), findings)
            dialogues = bench.settings.effect_dialogues or len(bench.task.examples("dev"))
            return Measurement(tuple(Effects(bench, dialogues).of(strategy, served(library, bench.settings))), findings)


class SocietyQuestions:
    """The last debates of a society as questions for people; what they say goes to `feedback.jsonl` of the run.

    Args:
        run: the run folder.

    Raises:
        RunError: it has not debated yet.
    """

    def __init__(self, run: Path) -> None:
        settings, seed = settings_of(run), read_resolved(run)["seed"]
        self._run = run
        self._debates = most_split(last_debates(run))
        self._line = shown_line(run)
        self._steered = bool(steered(settings))
        self._votes = [label(debate, settings, seed) for debate in self._debates]

    def questions(self) -> Sequence[Question]:
        """Return all questions, those whose votes are most split first."""
        feedback = read_feedback(self._run)
        said: dict[str, list[Word]] = {}
        for event in feedback.said:
            fields = asdict(event)
            said.setdefault(fields.pop("question_id"), []).append(Word(**fields))
        return [
            Question(
                debate.question_id,
                "\n\n".join(message.content for message in debate.messages),
                votes=debate.votes,
                label=known.answer,
                source=known.source,
                statements=_statements(self._line, debate),
                words=said.get(debate.question_id, ()),
                steered=self._steered,
            )
            for debate, known in zip(self._debates, feedback.correct(self._votes), strict=True)
        ]

    def say(self, id: str, word: Word, revision: int) -> bool:
        """Keep what a person says of a question, unless others have spoken since `revision`.

        Raises:
            RunError: an answer is none that the task can read.
        """
        if word.answer is not None:
            word = replace(word, answer=read_answer(self._run, id, word.answer))
        return append_feedback(self._run, [Event(question_id=id, **asdict(word))], heard=revision)


def _statements(line: Line, debate: Transcript) -> list[Statement]:
    """Return what was said; a critic that heard nobody was never asked, and what stands there is not its own."""
    found: list[Statement] = []
    for number, statements in enumerate(debate.rounds, start=1):
        for participant, said in enumerate(statements):
            failure = said.completion.failure
            if number > 1 and not said.summary and failure is None:
                continue
            agent = line.critic(participant) if number > 1 else line.generator(participant)
            text = f"(no answer: {failure.kind}: {failure.detail})" if failure else said.completion.text
            found.append(Statement(agent, text, said.key, number, failed=failure is not None))
    return found
