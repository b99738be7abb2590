"""Who is asked what in a debate, in which batch, and what becomes of failures."""

from dataclasses import replace
from pathlib import Path

import pytest

from fulcrum.chat import Completion, Failure, Request, assistant, user
from fulcrum.evaluation.solver import Turn
from fulcrum.society.arms import ARMS, LINES
from fulcrum.society.cast import Voices
from fulcrum.society.debate import Debate, Transcript, asked, conversation
from fulcrum.society.settings import DebateSettings
from fulcrum.task import Question
from support.debating import AdapterModel, adapter, number_key, says

SETTINGS = DebateSettings(summarise="{prompt} SUM {answers}", update="UPDATE {summary}", separator="|")


def turns(count: int = 2) -> list[Turn]:
    questions = [Question(f"q{place}", (user(f"question {place}"),)) for place in range(count)]
    return [Turn(question, question.messages) for question in questions]


def society(folder: Path) -> dict[str, Path]:
    return {name: adapter(folder / name) for name in LINES["society"].agents(3)}


def script(request: Request) -> str:
    """Agents say their own number; the summariser repeats what it was shown."""
    text = request.messages[-1].content
    if " SUM " in text:
        return f"heard {text.partition(' SUM ')[2]}"
    who = Path(request.adapter or "base-0").name
    return f"{who} says {10 * len(request.messages) + int(who[-1])}"


def hold(model: AdapterModel, agents: dict[str, Path] | None, settings: DebateSettings = SETTINGS) -> list[Transcript]:
    cast = ARMS["society"].cast(agents, settings)
    return Debate(Voices(model), cast, settings, number_key, max_tokens=20).hold(turns())


def test_each_round_is_one_batch_of_all_agents_under_their_own_adapters(tmp_path: Path) -> None:
    model = AdapterModel(script)
    transcripts = hold(model, society(tmp_path))
    generators, summaries, critics = model.batches
    assert [Path(request.adapter or "").name for request in generators] == [
        "generator-1",
        "generator-2",
        "generator-3",
    ] * 2
    assert [request.adapter for request in summaries] == [None] * 6
    assert [Path(request.adapter or "").name for request in critics] == ["critic-1", "critic-2", "critic-3"] * 2
    assert [said.key for said in transcripts[0].first] == ["11", "12", "13"]
    assert [said.key for said in transcripts[0].last] == ["31", "32", "33"]


def test_a_critic_sees_the_question_its_own_answer_and_a_summary_of_the_others_before(tmp_path: Path) -> None:
    model = AdapterModel(script)
    hold(model, society(tmp_path))
    second_critic = model.batches[2][1]
    assert second_critic.messages == (
        user("question 0"),
        assistant("generator-2 says 12"),
        user("UPDATE heard generator-1 says 11|generator-3 says 13"),
    )


def test_in_sequence_a_critic_hears_those_who_spoke_before_it_in_the_same_round(tmp_path: Path) -> None:
    model = AdapterModel(script)
    sequential = SETTINGS.model_copy(update={"order": "sequential", "summariser": "concatenate"})
    hold(model, society(tmp_path), sequential)
    _, first, second, third = (batch[0].messages[-1].content for batch in model.batches)
    assert first == "UPDATE generator-2 says 12|generator-3 says 13"
    assert second == "UPDATE critic-1 says 31|generator-3 says 13"
    assert third == "UPDATE critic-1 says 31|critic-2 says 32"


def test_a_third_round_reads_the_second_and_goes_on_in_the_same_conversation(tmp_path: Path) -> None:
    model = AdapterModel(script)
    settings = SETTINGS.model_copy(update={"rounds": 3, "summariser": "concatenate"})
    transcripts = hold(model, society(tmp_path), settings)
    last = model.batches[2][0].messages
    assert [message.content for message in last] == [
        "question 0",
        "generator-1 says 11",
        "UPDATE generator-2 says 12|generator-3 says 13",
        "critic-1 says 31",
        "UPDATE critic-2 says 32|critic-3 says 33",
    ]
    assert conversation(transcripts[0].messages, transcripts[0].track(0), "UPDATE {summary}")[2] == last


@pytest.mark.parametrize(("summariser", "batches", "adapters"), [("concatenate", 2, None), ("critic", 3, "critic-1")])
def test_who_summarises(tmp_path: Path, summariser: str, batches: int, adapters: str | None) -> None:
    model = AdapterModel(script)
    hold(model, society(tmp_path), SETTINGS.model_copy(update={"summariser": summariser}))
    assert len(model.batches) == batches
    if adapters:
        assert Path(model.batches[1][0].adapter or "").name == adapters


@pytest.mark.parametrize("summariser", ["base", "concatenate", "critic"])
def test_the_calls_of_an_answer_are_counted_right(tmp_path: Path, summariser: str) -> None:
    settings = SETTINGS.model_copy(update={"summariser": summariser, "rounds": 3})
    model = AdapterModel(script)
    hold(model, society(tmp_path), settings)
    assert len(model.requests) == 2 * settings.calls


def test_a_failed_agent_is_silent_and_the_others_go_on() -> None:
    def broken(request: Request) -> str | Completion:
        if request.sample == 0 and len(request.messages) == 1 and "SUM" not in request.messages[0].content:
            return Completion.failed("timeout")
        return script(request)

    model = AdapterModel(broken)
    transcript = hold(model, None)[0]
    assert [said.completion.failure and said.completion.failure.kind for said in transcript.last] == [
        "timeout",
        None,
        None,
    ]
    assert transcript.votes == {"30": 2}
    heard = [request.messages[0].content for request in model.batches[1]][:2]
    assert heard == ["question 0 SUM base-0 says 10"] * 2  # and nobody is asked to summarise for the silent one


def test_who_has_nobody_to_hear_any_more_is_not_asked_again() -> None:
    def broken(request: Request) -> str | Completion:
        return script(request) if request.sample == 0 or len(request.messages) == 1 else Completion.failed("timeout")

    settings = SETTINGS.model_copy(update={"rounds": 3, "summariser": "concatenate"})
    said = hold(AdapterModel(broken), None, settings)[0].track(0)
    assert [one.key for one in said] == ["10", "30", "30"] and list(asked(said)) == [0, 1]


def test_who_is_asked_late_is_shown_only_what_it_was_asked_before() -> None:
    summaries = [""] * 3 + ["late news"] * 3
    model = AdapterModel(lambda one: summaries.pop(0) if " SUM " in one.messages[-1].content else script(one))
    settings = SETTINGS.model_copy(update={"rounds": 3})
    cast = ARMS["society"].cast(None, settings)
    (debate,) = Debate(Voices(model), cast, settings, number_key, max_tokens=20).hold(turns(1))
    said, told = asked(debate.track(0)), model.batches[-1][0].messages
    assert told == (user("question 0"), assistant("base-0 says 10"), user("UPDATE late news"))
    assert list(said) == [0, 2] and conversation(debate.messages, said.values(), settings.update)[-1] == told


def test_a_failed_summary_silences_its_critic_only() -> None:
    def broken(request: Request) -> str | Completion:
        if "SUM" in request.messages[0].content and "question 0" in request.messages[0].content:
            return Completion.failed("server")
        return script(request)

    first, second = hold(AdapterModel(broken), None)
    assert not any(said.completion.ok for said in first.last)
    assert all(said.completion.ok for said in second.last)


def test_a_summary_that_was_cut_is_told_as_far_as_it_goes() -> None:
    def wordy(request: Request) -> str | Completion:
        if "SUM" in request.messages[0].content:
            return replace(says("they say 1"), failure=Failure("truncated", "cut after 4 tokens"))
        return script(request)

    transcript = hold(AdapterModel(wordy), None)[0]
    assert all(said.completion.ok and said.summary == "they say 1" for said in transcript.last)


def test_when_all_fail_the_failure_is_the_answer() -> None:
    model = AdapterModel(lambda request: Completion.failed("refused"))
    solver = Debate(Voices(model), ARMS["debate"].cast(None, SETTINGS), SETTINGS, number_key, max_tokens=20)
    answer = solver.answer(turns(1))[0]
    assert answer.completion.failure is not None and answer.completion.failure.kind == "refused"
    assert len(model.requests) == 3


def test_what_cannot_be_read_stays_in_the_debate_and_does_not_vote() -> None:
    model = AdapterModel(lambda request: "no idea" if request.sample < 2 else "it is 7")
    solver = Debate(Voices(model), ARMS["debate"].cast(None, SETTINGS), SETTINGS, number_key, max_tokens=20)
    assert solver.answer(turns(1))[0].completion.text == "it is 7"
    mute = AdapterModel(lambda request: "no idea")
    solver = Debate(Voices(mute), ARMS["debate"].cast(None, SETTINGS), SETTINGS, number_key, max_tokens=20)
    answer = solver.answer(turns(1))[0]
    assert answer.completion.ok and answer.completion.text == "no idea"  # wrong, not dropped


def test_the_draws_of_the_baselines_are_those_of_the_debate() -> None:
    drawn: dict[str, list[tuple[str, int]]] = {}
    for name in ("base", "majority", "debate", "self-consistency"):
        model, arm = AdapterModel(script), ARMS[name]
        cast, settings = arm.cast(None, SETTINGS), arm.settings(SETTINGS)
        Debate(Voices(model), cast, settings, number_key, max_tokens=20).hold(turns(1))
        drawn[name] = [(request.messages[0].content, request.sample) for request in model.batches[0]]
    assert len(drawn["base"]) == 1 and len(drawn["majority"]) == len(drawn["debate"]) == 3
    assert len(drawn["self-consistency"]) == SETTINGS.calls == 9
    assert drawn["majority"] == drawn["debate"] == drawn["self-consistency"][:3]
    assert drawn["base"] == drawn["debate"][:1]


def test_attempts_share_no_draw() -> None:
    model = AdapterModel(script)
    solver = Debate(Voices(model), ARMS["majority"].cast(None, SETTINGS), SETTINGS, number_key, max_tokens=20)
    turn = turns(1)[0]
    solver.hold([Turn(turn.question, turn.messages, sample) for sample in range(3)])
    assert sorted(request.sample for request in model.batches[0]) == list(range(9))


def test_agents_that_are_not_needed_any_more_are_freed(tmp_path: Path) -> None:
    model = AdapterModel(script)
    voices = Voices(model)
    old, new = society(tmp_path / "1"), society(tmp_path / "2")
    for agents in (old, new):
        cast = ARMS["society"].cast(agents, SETTINGS)
        Debate(voices, cast, SETTINGS, number_key, max_tokens=20).hold(turns())
    assert model.loaded == {str(path) for path in new.values()}
    voices.close()
    assert not model.loaded


def test_a_transcript_survives_its_file(tmp_path: Path) -> None:
    transcript = hold(AdapterModel(script), society(tmp_path))[0]
    again = Transcript.from_json(transcript.to_json())
    assert again.to_json() == transcript.to_json() and again.votes == transcript.votes
