"""The artifact of a society: a folder an agent that PEFT and vLLM load, and a model that debates with all of them."""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

from fulcrum.artifact import Artifact, OpenModel, write_card
from fulcrum.chat import ChatModel, Finished, Request
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

DISTILLED = "distilled"


def write_artifact(run: Run, settings: SocietySettings, agents: Agents, distilled: Path | None, sentence: str) -> None:
    """Copy every agent's weights to `artifact/NAME/` and write the card."""
    export(run.artifact, {**agents, **({DISTILLED: distilled} if distilled else {})})
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


def export(folder: Path, agents: Agents) -> list[Path]:
    """Copy the weights of agents into a folder, one folder an agent, and return those written."""
    written: list[Path] = []
    for agent, weights in agents.items():
        place = folder / agent
        shutil.rmtree(place, ignore_errors=True)
        if weights is not None:
            shutil.copytree(weights, place)
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
        who, how = Cast((alone,), (alone,)), settings.debate.model_copy(update={"agents": 1, "rounds": 1})
    else:
        who, how = ARMS["society"].cast(agents, settings.debate), settings.debate
    base = _host(open_model(artifact.models["agent"]), who)
    limit = settings.debate.max_tokens or task.max_tokens
    debate = Debate(Voices(base), who, how, task.answer_key, max_tokens=limit)
    return SocietyModel(f"society:{artifact.folder}", base, debate, file_hash(artifact.folder))


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
    """A `ChatModel` that answers each request with a debate.

    A request's own sampling does not count: how a society draws is part of what it learned.

    Args:
        name: name of the model.
        base: closed with it.
        debate: who answers.
        fingerprint: hash of the artifact.
    """

    def __init__(self, name: str, base: ChatModel, debate: Debate, fingerprint: str) -> None:
        self.name = name
        self._base = base
        self._debate = debate
        self._fingerprint = fingerprint

    def identity(self, request: Request) -> dict[str, str]:
        """Return the hash of the artifact beside what tells the base apart."""
        return {**self._base.identity(replace(request, adapter=None)), "society": self._fingerprint}

    def generate(self, requests: Iterable[Request]) -> Iterator[Finished]:
        """Debate all requests together; usage and seconds are those of the whole debate."""
        turns = [
            Turn(
                Question(content_hash([message.to_json() for message in request.messages]), request.messages),
                request.messages,
                request.sample,
            )
            for request in requests
        ]
        finished: Finished = []
        for index, (turn, transcript) in enumerate(zip(turns, self._debate.hold(turns), strict=True)):
            answer = self._debate.elect(transcript, turn)
            finished.append((index, replace(answer, usage=transcript.usage, seconds=transcript.seconds)))
        if finished:
            yield finished

    def close(self) -> None:
        """Close the base."""
        self._base.close()
