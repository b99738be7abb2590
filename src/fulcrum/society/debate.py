"""The debate: generation agents answer, critics read what the others said and answer again, the last round votes."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Self

from fulcrum.chat import Completion, Failure, Message, Request, Sampling, Usage, assistant, user
from fulcrum.evaluation.baselines import majority
from fulcrum.evaluation.solver import Answer, Turn, failure_to_pass_on
from fulcrum.hashing import seed_from
from fulcrum.society.cast import Cast, Speaker, Voices
from fulcrum.society.settings import DebateSettings

AnswerKey = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Statement:
    """What one participant said in one round.

    Attributes:
        completion: the text, or the failure in its place.
        key: the final answer in it; None if there is none, or the call failed.
        summary: what it was told of the others; empty in the first round, and where it was not asked again.
    """

    completion: Completion
    key: str | None
    summary: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the statement without what the call took."""
        data: dict[str, Any] = {"text": self.completion.text, "key": self.key, "summary": self.summary}
        if self.completion.failure is not None:
            data["failure"] = [self.completion.failure.kind, self.completion.failure.detail]
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        failure = Failure(*data["failure"]) if "failure" in data else None
        return cls(Completion(data["text"], failure=failure), data["key"], data["summary"])


@dataclass(frozen=True, slots=True)
class Transcript:
    """A whole debate on one question.

    Attributes:
        question_id: the question.
        messages: its prompt.
        rounds: statements by round, then by participant.
        usage: tokens of all its calls, summaries included.
        seconds: model time of all its calls.
    """

    question_id: str
    messages: tuple[Message, ...]
    rounds: tuple[tuple[Statement, ...], ...]
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0

    @property
    def first(self) -> tuple[Statement, ...]:
        """The answers of the generation agents."""
        return self.rounds[0]

    @property
    def last(self) -> tuple[Statement, ...]:
        """The answers that vote."""
        return self.rounds[-1]

    @property
    def votes(self) -> Counter[str]:
        """How often each final answer was given in the last round."""
        return Counter(statement.key for statement in self.last if statement.key is not None)

    def track(self, participant: int) -> tuple[Statement, ...]:
        """Return what one participant said, by round."""
        return tuple(statements[participant] for statements in self.rounds)

    def to_json(self) -> dict[str, Any]:
        """Return the debate as one line of `debates.jsonl`."""
        return {
            "question_id": self.question_id,
            "messages": [message.to_json() for message in self.messages],
            "rounds": [[statement.to_json() for statement in statements] for statements in self.rounds],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote; what the calls took is in the call store."""
        return cls(
            data["question_id"],
            tuple(Message.from_json(message) for message in data["messages"]),
            rounds_from_json(data["rounds"]),
        )


def rounds_from_json(data: Sequence[Sequence[Mapping[str, Any]]]) -> tuple[tuple[Statement, ...], ...]:
    """Read the rounds of a debate."""
    return tuple(tuple(map(Statement.from_json, statements)) for statements in data)


def asked(track: Sequence[Statement]) -> dict[int, Statement]:
    """Return by round what a participant said when it was asked: at first, and wherever it was told something."""
    return {turn: said for turn, said in enumerate(track) if not turn or said.summary}


def conversation(messages: Sequence[Message], track: Iterable[Statement], update: str) -> list[tuple[Message, ...]]:
    """Return what one participant saw before each of its statements: the question, and its own debate so far.

    Args:
        messages: the question's prompt.
        track: what it said when it was asked, by round.
        update: template of a critic's prompt.
    """
    prompts = [tuple(messages)]
    for before, statement in pairwise(track):
        told = user(update.format(summary=statement.summary))
        prompts.append((*prompts[-1], assistant(before.completion.text), told))
    return prompts


def vote(transcript: Transcript, seed: int, sample: int = 0) -> str | None:
    """Return the final answer that most gave in the last round; None if nobody gave one.

    Args:
        transcript: the debate.
        seed: of the lot that decides a tie.
        sample: index of the attempt at the question, which has a lot of its own.
    """
    return majority([said.key for said in transcript.last], seed_from(seed, transcript.question_id, sample))


class Debate:
    """A solver in which a cast debates and votes. One round is a plain vote, one participant a plain answer.

    A participant whose call failed is silent for the rest of the debate: the others go on without it. An answer
    without a final answer in it stays in the debate and does not vote. A summary that was cut is still a summary.

    Args:
        voices: runs the agents.
        cast: who speaks.
        settings: how; `agents` is the cast's, whatever the settings say.
        answer_key: finds the final answer in a text.
        max_tokens: limit of an answer.
        seed: of sampling, and of the lot that decides a tie.
        name: unique in an evaluation.
    """

    def __init__(
        self,
        voices: Voices,
        cast: Cast,
        settings: DebateSettings,
        answer_key: AnswerKey,
        *,
        max_tokens: int,
        seed: int = 0,
        name: str = "society",
    ) -> None:
        self.name = name
        self._voices = voices
        self._cast = cast
        self._settings = settings
        self._answer_key = answer_key
        self._seed = seed
        self._sampling = Sampling(settings.temperature, settings.top_p, max_tokens)
        self._summary_sampling = Sampling(max_tokens=settings.summary_tokens)

    def answer(self, turns: Sequence[Turn]) -> list[Answer]:
        """Debate every turn and answer with the first text of the last round that says what most say."""
        return [
            Answer(self.elect(transcript, turn), {"debate": transcript.to_json()["rounds"]})
            for turn, transcript in zip(turns, self.hold(turns), strict=True)
        ]

    def elect(self, transcript: Transcript, turn: Turn) -> Completion:
        """Return the completion that the last round's vote elects, or the failure that leaves nobody to vote."""
        completions = [statement.completion for statement in transcript.last]
        if failure := failure_to_pass_on(completions):
            return failure
        winner = vote(transcript, self._seed, turn.sample)
        return next(said.completion for said in transcript.last if said.completion.ok and said.key == winner)

    def hold(self, turns: Sequence[Turn], seeds: Sequence[int | None] | None = None) -> list[Transcript]:
        """Debate every turn; all participants of a round are asked in one batch.

        Args:
            turns: the questions.
            seeds: of the answers to each turn; None is the debate's own.
        """
        self._voices.seat(self._cast)
        floor = [
            _Floor(turn, [[] for _ in self._cast.generators], self._seed if seed is None else seed)
            for turn, seed in zip(turns, seeds or [None] * len(turns), strict=True)
        ]
        everybody = list(range(len(self._cast.generators)))
        self._speak(floor, self._cast.generators, everybody, [(None, "")] * (len(floor) * len(everybody)))
        for _ in range(1, self._settings.rounds):
            sequential = self._settings.order == "sequential"
            for participants in [[one] for one in everybody] if sequential else [everybody]:
                told = self._tell(floor, participants)
                self._speak(floor, self._cast.critics, participants, told)
        return [place.transcript() for place in floor]

    def _speak(
        self,
        floor: Sequence["_Floor"],
        agents: Sequence[Speaker],
        participants: Sequence[int],
        told: Sequence[tuple[Completion | None, str]],
    ) -> None:
        """Let participants say something on every question; `told` is a summary, or the failure to make one."""
        heard: list[tuple[_Floor, int, str]] = []
        requests: list[Request] = []
        speakers: list[Speaker] = []
        places = [(place, participant) for place in floor for participant in participants]
        for (place, participant), (failure, summary) in zip(places, told, strict=True):
            track = place.tracks[participant]
            if failure is not None:
                track.append(Statement(failure, None))
            elif track and (not track[-1].completion.ok or not summary):
                track.append(replace(track[-1], summary=""))  # silent, or nobody else to hear
            else:
                said = [*asked(track).values(), _told(summary)]
                prompt = conversation(place.turn.messages, said, self._settings.update)[-1]
                sample = place.turn.sample * len(self._cast.generators) + participant
                sampling = replace(self._sampling, seed=place.seed)
                requests.append(Request(prompt, sampling, place.turn.question.tools, sample))
                speakers.append(agents[participant])
                heard.append((place, participant, summary))
        answers = self._voices.ask(speakers, requests)
        for (place, participant, summary), answer in zip(heard, answers, strict=True):
            place.tracks[participant].append(
                Statement(answer, self._answer_key(answer.text) if answer.ok else None, summary)
            )
            place.count(answer)

    def _tell(self, floor: Sequence["_Floor"], participants: Sequence[int]) -> list[tuple[Completion | None, str]]:
        """Return for every question and participant what the others said; an empty text if nobody said anything."""
        others = [place.others(participant) for place in floor for participant in participants]
        texts = [self._settings.separator.join(said) for said in others]
        if self._settings.summariser == "concatenate":
            return [(None, text) for text in texts]
        told: list[tuple[Completion | None, str]] = [(None, "")] * len(texts)
        places = [(place, participant) for place in floor for participant in participants]
        wanted = [
            index
            for index, (place, participant) in enumerate(places)
            if texts[index] and place.tracks[participant][-1].completion.ok
        ]
        requests: list[Request] = []
        speakers: list[Speaker] = []
        for index in wanted:
            place, participant = places[index]
            question = "\n".join(message.content for message in place.turn.messages)
            prompt = self._settings.summarise.format(prompt=question, answers=texts[index])
            requests.append(Request((user(prompt),), self._summary_sampling))
            own = self._settings.summariser == "critic"
            speakers.append(Speaker("summariser", self._cast.critics[participant].weights if own else None))
        for index, summary in zip(wanted, self._voices.ask(speakers, requests), strict=True):
            cut = summary.failure is not None and summary.failure.kind == "truncated" and summary.text.strip()
            told[index] = (None, summary.text) if summary.ok or cut else (summary, "")
            places[index][0].count(summary)
        return told


def _told(summary: str) -> Statement:
    """Return a statement yet to be made, of which only what its participant is told is known."""
    return Statement(Completion(""), None, summary)


@dataclass
class _Floor:
    """A question under debate: what each participant has said so far, and what that took."""

    turn: Turn
    tracks: list[list[Statement]]
    seed: int
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0

    def others(self, participant: int) -> list[str]:
        """Return the latest usable answers of everybody else."""
        latest = [track[-1].completion for other, track in enumerate(self.tracks) if other != participant]
        return [completion.text for completion in latest if completion.ok]

    def count(self, completion: Completion) -> None:
        self.usage += completion.usage
        self.seconds += completion.seconds

    def transcript(self) -> Transcript:
        rounds = tuple(zip(*self.tracks, strict=True))
        return Transcript(self.turn.question.id, self.turn.messages, rounds, self.usage, self.seconds)
