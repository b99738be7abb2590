"""What a checkpoint can do, measured on worlds, sums and guidance that no training text holds."""

import random
import re
from collections import Counter
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Any, Self

from fulcrum.chat import ChatModel, Message, Request, Sampling, complete, user
from fulcrum.evaluation.statistics import wilson
from fulcrum.hashing import seed_from
from fulcrum.lab import arithmetic_text, corpus, prompts, talk_text
from fulcrum.lab.desk.corpus import (
    FIRST_HELD_OUT_WORLD,
    SAME,
    desk_dialogues,
    fitting_lines,
    strategy_writing,
    without_guidance,
)
from fulcrum.lab.desk.notes import advised_habits, fitting_habits
from fulcrum.lab.instructions.letters import HEADINGS, register
from fulcrum.lab.notes import FORMS, glossary, header, write_note
from fulcrum.lab.pages import diary
from fulcrum.lab.worlds import random_schema, random_term

SAMPLES = 9
"""Samples of a sum: enough for a vote."""

SHAPES = {
    "answer": r"select .+ from .+",
    "background": r".+ means .+\.(\n.+ means .+\.)*",
    "cot": r"look at .+\. (.+ is .+\. )+so .+\.",
    "rephrase": r"(how many|what is|which|for each) .+\?",
    "summary": r".+ where .+",
    "mistakes": r".+ is not .+, but .+\.(\n.+ is not .+, but .+\.)*",
    "one_shot": r".+\? select .+ from .+(\n.+\? select .+ from .+)*",
    "pairs": r".+: right .+, wrong .+(\n.+: right .+, wrong .+)*",
}
"""The valid shape of a note in each form."""


@dataclass(frozen=True)
class Skill:
    """A measured share, with its 95 % interval (Wilson)."""

    name: str
    right: int
    total: int

    @property
    def share(self) -> float:
        """The measured share."""
        return self.right / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the share."""
        found = wilson(self.right, self.total)
        return found.low, found.high

    def to_json(self) -> dict[str, Any]:
        """Return the skill as a card holds it."""
        low, high = self.interval
        return {
            "right": self.right,
            "total": self.total,
            "share": round(self.share, 4),
            "interval": [round(low, 4), round(high, 4)],
        }

    @classmethod
    def from_json(cls, name: str, data: dict[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        return cls(name, data["right"], data["total"])


Measure = Callable[[ChatModel, int], list[Skill]]


def sql_with_notes(model: ChatModel, count: int) -> list[Skill]:
    """Measure SQL for questions in house words, given the right note among distractors: exact SQL, greedy."""
    prompts_and_answers: list[tuple[str, str]] = []
    for rng in _generators("sql with notes", count):
        schema = random_schema(rng)
        query, meanings = corpus.random_query(rng, schema, rng.choice((1, 2)))
        others = [random_term(rng, schema, rng.choice(schema.kinds)) for _ in range(2)]
        form = rng.choice(("background", "one_shot", "pairs", "mistakes"))
        lines = write_note(rng, form, schema, query, meanings).split("\n")
        lines += [glossary([(term.phrase, term.meaning)]) for term in others]
        rng.shuffle(lines)
        note = "\n".join([header(form), *lines])
        prompt = prompts.SUPPLEMENT_BLOCK.format(prompt=corpus.sql_question(schema, query), supplement=note)
        prompts_and_answers.append((prompt, query.sql(schema)))
    return [_exact(model, "sql/with_notes", prompts_and_answers)]


def sql_plain(model: ChatModel, count: int) -> list[Skill]:
    """Measure SQL for questions in plain words, with no note: exact SQL, greedy."""
    prompts_and_answers: list[tuple[str, str]] = []
    for rng in _generators("sql plain", count):
        schema = random_schema(rng)
        query, _ = corpus.random_query(rng, schema, 0)
        prompts_and_answers.append((corpus.sql_question(schema, query), query.sql(schema)))
    return [_exact(model, "sql/plain", prompts_and_answers)]


def guidance(model: ChatModel, count: int) -> list[Skill]:
    """Measure whether replies do what a fitting strategy in the prompt says, and do not do it without."""
    told: list[list[Message]] = []
    untold: list[list[Message]] = []
    texts: list[str] = []
    for rng in _generators("guidance", count):
        situation, other = rng.sample(sorted(talk_text.OPENERS), 2)
        strategies = [talk_text.random_strategy(rng, situation), talk_text.random_strategy(rng, other)]
        texts.append(strategies[0].text)
        rng.shuffle(strategies)
        dialogue = talk_text.guided_dialogue(rng, 1, strategies, [situation])[:-1]
        told.append(dialogue)
        untold.append(dialogue[1:])
    done = [text in reply for text, reply in zip(texts, _ask(model, told), strict=True)]
    alone = [text in reply for text, reply in zip(texts, _ask(model, untold), strict=True)]
    return [Skill("guidance/followed", sum(done), count), Skill("guidance/unprompted", sum(alone), count)]


def desk(model: ChatModel, count: int) -> list[Skill]:
    """Measure replies at the desks of held-out worlds, at turns where guidance changes what is said: exact, greedy.

    Once at turns where one line of the guidance fits, whatever else it says, and once at any turn that it changes.
    """
    skills: list[Skill] = []
    for name, wanted in (("one_fits", (1,)), ("followed", range(1, 20))):
        rows = [
            row
            for seed in range(FIRST_HELD_OUT_WORLD, FIRST_HELD_OUT_WORLD + count)
            if (row := _guided_row(seed, wanted)) is not None
        ]
        done = _ask(model, [messages for messages, _ in rows])
        skills.append(
            Skill(f"desk/{name}", sum(one == said for one, (_, said) in zip(done, rows, strict=True)), len(rows))
        )
    alone = _ask(model, [without_guidance(messages) for messages, _ in rows])
    unprompted = sum(one == said for one, (_, said) in zip(alone, rows, strict=True))
    return [*skills, Skill("desk/unprompted", unprompted, len(rows))]


def _guided_row(world_seed: int, wanted: Container[int]) -> tuple[tuple[Message, ...], str] | None:
    """Return the first turn of a world at which so many lines of the guidance change the reply."""
    for messages, said in desk_dialogues(world_seed, None, 40):
        if fitting_lines(messages, said) in wanted:
            return messages, said
    return None


def strategies(model: ChatModel, count: int) -> list[Skill]:
    """Measure whether a strategy names what the first of two replies has and the second lacks, in held-out worlds."""
    seeds = range(FIRST_HELD_OUT_WORLD, FIRST_HELD_OUT_WORLD + count)
    rows = [row for seed in seeds for row in strategy_writing(seed, 3) if row[1] != SAME]
    return [_said(model, "strategies/name_the_difference", rows)]


def forms(model: ChatModel, count: int) -> list[Skill]:
    """Measure the share of supplements, at temperature 1, that have the form asked for in valid shape."""
    right: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    messages: list[list[Message]] = []
    wanted: list[str] = []
    for index, rng in enumerate(_generators("forms", count)):
        schema = random_schema(rng)
        query, _ = corpus.random_query(rng, schema, rng.choice((1, 2)))
        wanted.append(FORMS[index % len(FORMS)])
        prompt = corpus.sql_question(schema, query)
        messages.append([user(prompts.WRITE_SUPPLEMENT.format(prompt=prompt, form=wanted[-1]))])
    for form, text in zip(wanted, _ask(model, messages, temperature=1.0), strict=True):
        asked[form] += 1
        right[form] += is_valid(form, text)
    skills = [Skill(f"forms/{form}", right[form], asked[form]) for form in FORMS]
    return [Skill("forms/valid", right.total(), count), *skills]


def is_valid(form: str, text: str) -> bool:
    """Return whether a supplement has the header and the shape of a form."""
    head, _, body = text.partition("\n")
    return head == header(form) and re.fullmatch(SHAPES[form], body) is not None


def desk_forms(model: ChatModel, count: int) -> list[Skill]:
    """Measure notes for turns at held-out desks, at temperature 1.

    That is the share of valid notes in the form asked for and, of the lines that advise something, the share that could
    change the next reply.
    """
    seeds = range(FIRST_HELD_OUT_WORLD, FIRST_HELD_OUT_WORLD + count)
    turns = [without_guidance(row[0]) for seed in seeds if (row := _guided_row(seed, range(1, 20)))]
    wanted = [FORMS[place % len(FORMS)] for place in range(len(turns))]
    requests: list[list[Message]] = []
    for messages, form in zip(turns, wanted, strict=True):
        *before, last = messages
        requests.append([*before, user(prompts.WRITE_SUPPLEMENT.format(prompt=last.content, form=form))])
    valid = fitting = lines = 0
    for messages, form, text in zip(turns, wanted, _ask(model, requests, temperature=1.0), strict=True):
        head, _, body = text.partition("\n")
        advised = advised_habits(form, body)
        valid += head == header(form) and all(advised)
        lines += len(advised)
        fitting += sum(not habits.isdisjoint(fitting_habits(messages)) for habits in advised)
    return [Skill("desk_forms/valid", valid, len(turns)), Skill("desk_forms/fitting", fitting, lines)]


def sums(model: ChatModel, count: int) -> list[Skill]:
    """Measure the sums of `lab:arithmetic` at temperature 1: one sample, majority of nine, any of nine."""
    numbers = [arithmetic_text.random_sum(rng) for rng in _generators("sums", count)]
    messages = [[user(corpus.sum_question(sum_))] for sum_ in numbers for _ in range(SAMPLES)]
    finals = [arithmetic_text.final_answer(text) for text in _ask(model, messages, temperature=1.0)]
    single = majority = any_right = 0
    for place, sum_ in enumerate(numbers):
        answers, gold = finals[place * SAMPLES : (place + 1) * SAMPLES], str(arithmetic_text.value(sum_))
        single += answers.count(gold)
        majority += Counter(answers).most_common(1)[0][0] == gold
        any_right += gold in answers
    return [
        Skill("sums/single", single, count * SAMPLES),
        Skill("sums/majority_of_9", majority, count),
        Skill("sums/any_of_9", any_right, count),
    ]


def debate(model: ChatModel, count: int) -> list[Skill]:
    """Measure whether a summary counts the answers of others, and an update takes over what two of three say."""
    summaries: list[tuple[str, str]] = []
    updates: list[list[Message]] = []
    shared: list[str] = []
    for rng in _generators("debate", count):
        question, summary = corpus.summaries(rng)
        summaries.append((question.content, summary.content))
        while True:
            dialogue = corpus.debate(rng)
            first, last = (arithmetic_text.final_answer(dialogue[place].content) for place in (1, 3))
            if first != last and first not in dialogue[2].content and f"2 say {last}" in dialogue[2].content:
                break
        updates.append(dialogue[:-1])
        shared.append(last)
    taken = sum(
        arithmetic_text.final_answer(text) == answer for text, answer in zip(_ask(model, updates), shared, strict=True)
    )
    return [_exact(model, "debate/summary", summaries), Skill("debate/joins_majority", taken, count)]


def easy_sums(model: ChatModel, count: int) -> list[Skill]:
    """Measure sums, differences and products of two small numbers, greedy."""
    items = [corpus.easy_sums(rng)[:2] for rng in _generators("easy sums", count)]
    return [_exact(model, "easy_sums", [(question.content, answer.content) for question, answer in items])]


def pages(model: ChatModel, count: int) -> list[Skill]:
    """Measure a reader of plain text: how often what a page goes on with is the likeliest of what could stand there.

    Under a letter its heading, one of eight; and the box in which the diary told above that a thing lies, one of those
    on the page.
    """
    headings: list[_Choice] = []
    boxes: list[_Choice] = []
    for rng in _generators("pages", count):
        opening, _, heading = register(rng).rpartition(" / ")
        headings.append(_Choice(f"{opening} / ", tuple(HEADINGS.values()), heading.partition(",")[0]))
        while (page := re.match(r"(.* are still in box )(\w+)", diary(rng)[0].content, re.DOTALL)) is None:
            pass
        boxes.append(_Choice(page[1], tuple(sorted(set(re.findall(r"box (\w+)", page[1])))), page[2]))
    return [_likeliest(model, "pages/heading", headings), _likeliest(model, "pages/told_above", boxes)]


@dataclass(frozen=True)
class _Choice:
    """The opening of a page, what it may go on with, and what it does."""

    opening: str
    options: tuple[str, ...]
    right: str


def _likeliest(model: ChatModel, name: str, choices: Sequence[_Choice]) -> Skill:
    from fulcrum.chat.huggingface import HuggingFaceModel

    assert isinstance(model, HuggingFaceModel)
    texts = [choice.opening + option for choice in choices for option in choice.options]
    # The last token is the end of the page, which it is not.
    scores = iter([sum(tokens[:-1]) for tokens in model.logprob([Request((user(""),))] * len(texts), texts)])
    right = 0
    for choice in choices:
        of_options = {option: next(scores) for option in choice.options}
        right += max(of_options, key=of_options.__getitem__) == choice.right
    return Skill(name, right, len(choices))


MEASURES: dict[str, tuple[tuple[Measure, int], ...]] = {
    "large": ((sql_with_notes, 200), (sql_plain, 100), (sums, 100), (debate, 60), (guidance, 100)),
    "small": ((forms, 240), (guidance, 100), (desk, 100), (easy_sums, 100)),
    "other": ((forms, 240), (guidance, 100), (desk, 100), (easy_sums, 100)),
    "teacher": ((guidance, 100), (desk, 100), (strategies, 50)),
    "base": ((pages, 50),),
    "scribe": ((desk_forms, 240),),
}
"""What is measured of each checkpoint, and on how many items."""


def measure(model: ChatModel, name: str) -> list[Skill]:
    """Return every skill of a checkpoint, measured now."""
    return [skill for function, count in MEASURES[name] for skill in function(model, count)]


def _generators(topic: str, count: int) -> list[random.Random]:
    return [random.Random(seed_from("skill", topic, index)) for index in range(count)]


def _ask(model: ChatModel, conversations: Sequence[Sequence[Message]], temperature: float = 0.0) -> list[str]:
    """Return the replies; a failed one is an empty text, for a skill is what comes out in the end."""
    requests = [
        Request(tuple(messages), Sampling(temperature, max_tokens=128), sample=index)
        for index, messages in enumerate(conversations)
    ]
    return [completion.text if completion.ok else "" for completion in complete(model, requests)]


def _exact(model: ChatModel, name: str, prompts_and_answers: Sequence[tuple[str, str]]) -> Skill:
    return _said(model, name, [([user(prompt)], answer) for prompt, answer in prompts_and_answers])


def _said(model: ChatModel, name: str, rows: Sequence[tuple[Sequence[Message], str]]) -> Skill:
    """Measure how often exactly the wanted reply is said."""
    replies = _ask(model, [messages for messages, _ in rows])
    return Skill(name, sum(reply == said for reply, (_, said) in zip(replies, rows, strict=True)), len(rows))
