"""The artifact of a society: a folder an agent that PEFT and vLLM load, and a model that debates with all of them."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

from fulcrum.artifact import Artifact, OpenModel, write_card
from fulcrum.chat import ChatModel, Completion, Failure, Finished, Request, Sampling
from fulcrum.chat.endpoint import EndpointModel
from fulcrum.chat.served import ServedAdapters
from fulcrum.errors import ModelError, RunError
from fulcrum.evaluation.solver import Turn
from fulcrum.hashing import content_hash, file_hash
from fulcrum.runs import Run
from fulcrum.settings import Document, read_settings
from fulcrum.society.arms import ARMS, Agents
from fulcrum.society.cast import AdapterHost, Cast, Speaker, Voices, adapter_host
from fulcrum.society.debate import Debate
from fulcrum.society.settings import SocietySettings
from fulcrum.task import Question
from fulcrum.task.load import load_task
from fulcrum.training.weights import copy_weights

DISTILLED = "distilled"

_NO_TOOLS = (
    "tools: a society votes on final answers and calls no tools; send the request without them, or serve the one agent "
    'that was distilled from it (serve = "distilled")'
)


def write_artifact(run: Run, settings: SocietySettings, agents: Agents, distilled: Path | None, sentence: str) -> None:
    """Copy every agent's weights to `artifact/NAME/` and write the card."""
    export(run.artifact, {**agents, DISTILLED: distilled}, run.recipe.models["agent"])
    trained = [agent for agent, weights in agents.items() if weights]
    calls = settings.debate.calls
    about = f"""# A society of {settings.debate.agents} generation agents and {settings.debate.agents} critics

Base: `{run.recipe.models["agent"]}`, task: `{run.recipe.keys.task}`. {sentence}

Each folder here is an ordinary PEFT adapter of the base (with full tuning, a model): {", ".join(trained)}.
An agent without a folder is the base itself. One answer takes {calls} calls.
It learned from what the agents agreed on, not from labels: it can be confidently wrong together.
"""
    write_card(
        run, about, agents={agent: bool(weights) for agent, weights in agents.items()}, distilled=bool(distilled)
    )


def export(folder: Path, agents: Agents, base: str) -> list[Path]:
    """Copy the weights of agents, trained from `base`, into a folder, one folder an agent; return those written."""
    written: list[Path] = []
    for agent, weights in agents.items():
        place = folder / agent
        if weights is None:
            shutil.rmtree(place, ignore_errors=True)
        else:
            copy_weights(weights, place, base)
            written.append(place)
    return written


def open_society(artifact: Artifact, open_model: OpenModel) -> ChatModel:
    """Return a model that answers each request with a debate, or with the distilled agent.

    Raises:
        ModelError: the base cannot hold adapters, or its server does not offer those of the agents.
        RunError: the distilled agent is to be served, and there is none.
    """
    settings = read_settings(SocietySettings, Document(dict(artifact.settings), str(artifact.folder)))
    agents: Agents = {
        agent: artifact.folder / agent if trained else None
        for agent, trained in cast("Mapping[str, bool]", artifact.facts["agents"]).items()
    }
    task = load_task(artifact.task)
    if settings.serve == "distilled":
        if not artifact.facts["distilled"]:
            raise RunError(f'{artifact.folder}: nothing was distilled into it; train with serve = "debate"')
        alone = Speaker("generator", artifact.folder / DISTILLED)
        who = Cast((alone,), ())
    else:
        who = ARMS["society"].cast(agents, settings.debate)
    base = _host(open_model(artifact.models["agent"]), who)
    voices, limit = Voices(base), settings.debate.max_tokens or task.max_tokens
    debate = Debate(voices, who, settings.debate, task.answer_key, max_tokens=limit)
    answer = partial(_alone, voices, who) if settings.serve == "distilled" else partial(_debated, debate)
    return SocietyModel(f"society:{artifact.folder}", base, answer, file_hash(artifact.folder))


def _host(model: ChatModel, who: Cast) -> AdapterHost:
    """Return the base with the voices of a cast: in this process, or on a server that offers them."""
    if not isinstance(model, EndpointModel):
        return adapter_host(model)
    whole = [path.name for path in sorted(who.weights) if not (path / "adapter_config.json").is_file()]
    if whole:
        raise ModelError(
            f"{', '.join(whole)} of the society are whole models, not adapters of {model.name!r}; they debate in this "
            "process: leave --models.agent out"
        )
    served = ServedAdapters(model)
    try:
        served.check(sorted(who.weights))
    except ModelError:
        served.close()
        raise
    return served


class SocietyModel:
    """A `ChatModel` that answers with the agents of a society.

    Args:
        name: name of the model.
        base: closed with it.
        answer: answers requests, in order.
        fingerprint: hash of the artifact.
    """

    def __init__(
        self, name: str, base: ChatModel, answer: Callable[[Sequence[Request]], list[Completion]], fingerprint: str
    ) -> None:
        self.name = name
        self._base = base
        self._answer = answer
        self._fingerprint = fingerprint

    def identity(self, request: Request) -> dict[str, str]:
        """Return the hash of the artifact beside what tells the base apart."""
        return {**self._base.identity(replace(request, adapter=None)), "society": self._fingerprint}

    def generate(self, requests: Iterable[Request]) -> Iterator[Finished]:
        """Answer all requests together."""
        if answers := self._answer(list(requests)):
            yield list(enumerate(answers))

    def close(self) -> None:
        """Close the base."""
        self._base.close()


def _alone(voices: Voices, who: Cast, requests: Sequence[Request]) -> list[Completion]:
    """Answer as one agent, which draws as each request says."""
    voices.seat(who)
    return voices.ask([*who.generators] * len(requests), requests)


def _debated(debate: Debate, requests: Sequence[Request]) -> list[Completion]:
    """Debate all requests together; usage and seconds are those of the whole debate.

    How a society draws is part of what it learned. Of a request's sampling its seed counts, if it wants a drawn answer
    and not the likeliest, and what ends the answer. Tools are refused: calls of tools are nothing to vote on.
    """
    asked = [request for request in requests if not request.tools]
    turns = [
        Turn(
            Question(content_hash([message.to_json() for message in request.messages]), request.messages),
            request.messages,
            request.sample,
        )
        for request in asked
    ]
    seeds = [request.sampling.seed if request.sampling.temperature > 0 else None for request in asked]
    elected = iter(
        replace(
            _cut(debate.elect(transcript, turn), request.sampling), usage=transcript.usage, seconds=transcript.seconds
        )
        for request, turn, transcript in zip(asked, turns, debate.hold(turns, seeds), strict=True)
    )
    return [Completion.failed("invalid", _NO_TOOLS) if request.tools else next(elected) for request in requests]


def _cut(answer: Completion, sampling: Sampling) -> Completion:
    """Return the answer that was elected up to where the request wants it to end.

    The debate itself is not cut short: answers without an end would not vote. A token is taken for as long as the
    answer's are on average.
    """
    text = answer.text[: min((place for stop in sampling.stop if (place := answer.text.find(stop)) >= 0), default=None)]
    limit, written = sampling.max_tokens, answer.usage.completion_tokens
    if answer.ok and written > limit and len(text) > (room := len(answer.text) * limit // written):
        failure = Failure("truncated", f"cut after about {limit} of {written} tokens: max_tokens is {limit}")
        return replace(answer, text=text[:room], finish_reason="length", failure=failure)
    return replace(answer, text=text)
