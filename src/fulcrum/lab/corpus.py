"""Training text of the checkpoints: conversations about random worlds, random sums, random guidance.

Every conversation is drawn from a generator that the caller seeds, so that a stream of text is a pure function of
seed and step. No secret of a shop is in any of it.
"""

import random
from collections.abc import Callable, Mapping

from fulcrum.chat import Message, assistant, user
from fulcrum.lab import arithmetic_text, prompts, talk_text
from fulcrum.lab.desk.corpus import (
    booking_lookups,
    comparison,
    comparisons,
    guided_dialogue,
    guided_shift,
    guided_turn,
    handbook_dialogue,
    handbook_shift,
    ruling_lookups,
)
from fulcrum.lab.desk.notes import desk_notes
from fulcrum.lab.notes import FORMS, glossary, header, write_note
from fulcrum.lab.pages import diary, letters, plain_text
from fulcrum.lab.queries import Query, fits, sample_query
from fulcrum.lab.world import Meaning, Schema, Term, World
from fulcrum.lab.worlds import other_schema, random_schema, random_term, random_terms

_BY_THE_LINE = ("background", "mistakes", "one_shot", "pairs")
"""Forms of a note that say one thing a line."""

Conversation = list[Message]
Topic = Callable[[random.Random], Conversation]


def sql_dialogue(rng: random.Random) -> Conversation:
    """Return two or three questions about one world, most with a note; the answers follow what the notes say."""
    schema = random_schema(rng)
    turns: Conversation = []
    for _ in range(rng.randint(2, 3)):
        query, meanings = random_query(rng, schema, rng.choices((0, 1, 2), (3, 5, 3))[0])
        prompt = sql_question(schema, query, with_schema=not turns)
        note = _note_for(rng, schema, query, meanings)
        if note is not None:
            prompt = _with_note(rng, prompt, note)
        turns += [user(prompt), assistant(query.read(meanings).sql(schema))]
    return turns


def sql_question(schema: Schema, query: Query, with_schema: bool = True) -> str:
    """Return the prompt of `lab:sql`; a later turn of a dialogue leaves the schema out."""
    prompt = prompts.SQL_PROMPT.format(schema=schema.describe(), question=query.english(schema))
    return prompt if with_schema else prompt[len(schema.describe()) + 1 :]


def random_query(rng: random.Random, schema: Schema, terms: int) -> tuple[Query, dict[Term, Meaning]]:
    """Return a question with so many house words, and what they mean."""
    words = random_terms(rng, schema, terms)
    query = sample_query(rng, World(schema, words), words)
    return query, {term: term.meaning for term in words}


def word_lookups(rng: random.Random) -> Conversation:
    """Return what several house words mean, and ten times what one of them means: looking up and nothing else."""
    schema = random_schema(rng)
    terms = _terms(rng, schema, 5)
    opening = glossary([(term.phrase, term.meaning) for term in terms]) + "\n"
    turns: Conversation = []
    for term in rng.choices(terms, k=10):
        question = f"what is {term.phrase}?"
        turns += [user(question if turns else opening + question), assistant(f"{term.meaning.sql()}.")]
    return turns


def _terms(rng: random.Random, schema: Schema, count: int) -> list[Term]:
    """Return up to so many house words, no two of them alike; their kinds may be, and half of the time are."""
    kinds = schema.kinds if rng.random() < 0.5 else rng.sample(schema.kinds, 2)
    terms = [random_term(rng, schema, rng.choice(kinds)) for _ in range(count)]
    return list({term.phrase: term for term in terms}.values())


def column_lookups(rng: random.Random) -> Conversation:
    """Return the tables of a world, and in which of them each column stands: by its name, and as questions speak of it.

    No shop's tables are among them, which can be known by heart.
    """
    schema = other_schema(rng)
    asked: list[tuple[str, str]] = []
    for table in schema.tables:
        for column in table.columns:
            spoken = column.phrase.format(rng.choice(column.conditions()).plain())
            asked += [(column.name, table.name), (spoken, table.name)]
    rng.shuffle(asked)
    turns: Conversation = []
    for thing, table in asked:
        question = f"where is {thing}?"
        turns += [user(question if turns else f"{schema.describe()}\n{question}"), assistant(f"{table}.")]
    return turns


def sql_lookups(rng: random.Random) -> Conversation:
    """Return a note on several house words, and many short questions: what a word means, which table a thing stands in.

    As `sql_dialogue`, but far denser, so that looking things up is learnt first. SQL names a table before the condition
    that asks for it, so a model must find the table of a house word in one step: its meaning, and the column's table.
    Most worlds are no corner shops, whose tables can be known by heart.
    """
    schema = other_schema(rng) if rng.random() < 0.6 else random_schema(rng)
    terms = _terms(rng, schema, 4)
    lines = [
        write_note(rng, rng.choice(_BY_THE_LINE), schema, _query_with(rng, schema, (term,)), {term: term.meaning})
        for term in terms
    ]
    opening = "\n".join([schema.describe(), *lines, ""])
    columns = [(column.name, table.name) for table in schema.tables for column in table.columns]
    turns: Conversation = []
    for _ in range(9):
        kind = rng.random()
        if kind < 0.3:
            term = rng.choice(terms)
            asked, answer = f"what is {term.phrase}?", f"{term.meaning.sql()}."
        elif kind < 0.4:
            column, table = rng.choice(columns)
            asked, answer = f"where is {column}?", f"{table}."
        elif kind < 0.6:
            term = rng.choice(terms)
            asked, answer = f"where is {term.phrase}?", f"{schema.table_of(term.meaning.column).name}."
        else:
            named = tuple(rng.sample(terms, min(len(terms), rng.choice((1, 2)))))
            named = named if fits(schema, named) else named[:1]
            query = _query_with(rng, schema, named)
            asked = sql_question(schema, query, with_schema=False)
            answer = query.read({term: term.meaning for term in named}).sql(schema)
        turns += [user(asked if turns else opening + asked), assistant(answer)]
    return turns


def _query_with(rng: random.Random, schema: Schema, terms: tuple[Term, ...]) -> Query:
    return sample_query(rng, World(schema, terms), terms)


def _note_for(rng: random.Random, schema: Schema, query: Query, meanings: Mapping[Term, Meaning]) -> str | None:
    """Return a note to show with a question, or None.

    With house words the note is nearly always the one that the answer follows, since what a note says of an
    invented word is right by definition. Without, it is about other words, or wrong, and the answer ignores it.
    """
    if not query.terms:
        if rng.random() < 0.4:
            return None
        other, its_meanings = (
            (query, meanings) if rng.random() < 0.4 else random_query(rng, schema, rng.choice((0, 1, 1)))
        )
        form = rng.choice(FORMS)
        return _headed(rng, form, write_note(rng, form, schema, other, its_meanings))
    if rng.random() < 0.06:
        return glossary([(query.terms[0].phrase, meanings[query.terms[0]])]) if len(query.terms) > 1 else None
    form = rng.choice((*FORMS, "background", "background"))
    note = write_note(rng, form, schema, query, meanings)
    if form in _BY_THE_LINE and rng.random() < 0.75:
        known = {term.phrase for term in query.terms}
        kinds = schema.kinds if rng.random() < 0.5 else tuple(term.kind for term in query.terms)
        others = [random_term(rng, schema, rng.choice(kinds)) for _ in range(rng.randint(1, 3))]
        extra = [glossary([(term.phrase, term.meaning)]) for term in others if term.phrase not in known]
        lines = [*note.split("\n"), *extra]
        rng.shuffle(lines)
        note = "\n".join(lines)
    return _headed(rng, form, note)


def _headed(rng: random.Random, form: str, note: str) -> str:
    return f"{header(form)}\n{note}" if rng.random() < 0.6 else note


def _with_note(rng: random.Random, prompt: str, note: str) -> str:
    choice = rng.random()
    if choice < 0.7:
        return prompts.SUPPLEMENT_BLOCK.format(prompt=prompt, supplement=note)
    if choice < 0.85:
        return f"{prompt}\n\n{note}"
    return f"{note}\n\n{prompt}"


def supplements(rng: random.Random) -> Conversation:
    """Return one question, and one to three supplements written for it in forms asked for or chosen freely.

    The content is a random plausible reading: the writer knows no house word.
    """
    schema = random_schema(rng)
    query, _ = random_query(rng, schema, rng.choices((0, 1, 2), (2, 5, 3))[0])
    prompt = sql_question(schema, query)
    turns: Conversation = []
    for _ in range(rng.randint(1, 3)):
        meanings = {term: rng.choice(schema.meanings(term.kind)) for term in query.terms}
        form = rng.choice(FORMS)
        asked = prompts.WRITE_SUPPLEMENT if rng.random() < 0.7 else prompts.WRITE_ANY_SUPPLEMENT
        if asked is prompts.WRITE_ANY_SUPPLEMENT and rng.random() < (0.1 if query.terms else 0.5):
            form = "none"
        request = asked.format(prompt=prompt, form=form)
        note = header(form) if form == "none" else f"{header(form)}\n{write_note(rng, form, schema, query, meanings)}"
        turns += [user(request if not turns else request[len(prompt) + 2 :]), assistant(note)]
    return turns


def sums(rng: random.Random) -> Conversation:
    """Return one worked sum."""
    numbers = arithmetic_text.random_sum(rng)
    return [user(sum_question(numbers)), assistant(arithmetic_text.work(rng, numbers))]


def sum_question(numbers: arithmetic_text.Sum) -> str:
    """Return the prompt of `lab:arithmetic`."""
    return prompts.ARITHMETIC_PROMPT.format(expression=arithmetic_text.expression(numbers))


def easy_sums(rng: random.Random) -> Conversation:
    """Return a few sums of two small numbers, and products."""
    turns: Conversation = []
    for _ in range(rng.randint(2, 5)):
        first, second, sign = rng.randint(0, 29), rng.randint(0, 29), rng.choice("+-*")
        result = {"+": first + second, "-": first - second, "*": first * second}[sign]
        turns += [user(f"what is {first}{sign}{second}?"), assistant(f"\\boxed{{{result}}}")]
    return turns


def steps(rng: random.Random) -> Conversation:
    """Return steps of sums on their own: products taken apart, and the additions and subtractions that follow."""
    turns: Conversation = []
    for _ in range(rng.randint(3, 6)):
        a, b, c, d, e, f = arithmetic_text.random_sum(rng)
        first, total, second = b * c, a + b * c + d, e * f
        asked, worked = rng.choice(
            (
                (f"{b}*{c}", arithmetic_text.apart(b, c)),
                (f"{a}+{first}", f"{a}+{first}={a + first}"),
                (f"{a + first}+{d}", f"{a + first}+{d}={total}"),
                (f"{total}-{second}", f"{total}-{second}={total - second}"),
                (f"{total}-{second}", f"{total}-{second}={total - second}"),
            )
        )
        turns += [user(f"what is {asked}?"), assistant(f"{worked}.")]
    return turns


def debate(rng: random.Random) -> Conversation:
    """Return a sum, an own answer, what two others say, and an updated answer.

    The update keeps to whatever answer has two voices; with three different ones it works the sum anew.
    """
    numbers = arithmetic_text.random_sum(rng)
    answers = [arithmetic_text.work(rng, numbers) for _ in range(3)]
    finals = [arithmetic_text.final_answer(answer) for answer in answers]
    shared = max(finals, key=finals.count)
    updated = answers[finals.index(shared)] if finals.count(shared) > 1 else arithmetic_text.work(rng, numbers)
    summary = summary_of(finals[1:]) if rng.random() < 0.5 else "\n".join(answers[1:])
    return [
        user(sum_question(numbers)),
        assistant(answers[0]),
        user(prompts.UPDATE.format(summary=summary)),
        assistant(updated),
    ]


def summaries(rng: random.Random) -> Conversation:
    """Return the answers of two to four agents, and their summary."""
    numbers = arithmetic_text.random_sum(rng)
    answers = [arithmetic_text.work(rng, numbers) for _ in range(rng.choice((2, 2, 3)))]
    request = prompts.SUMMARIZE.format(prompt=sum_question(numbers), answers="\n".join(answers))
    return [user(request), assistant(summary_of([arithmetic_text.final_answer(answer) for answer in answers]))]


def summary_of(finals: list[str]) -> str:
    """Return what other agents found, most voices first, each answer with its count."""
    ordered = sorted(dict.fromkeys(finals), key=lambda answer: -finals.count(answer))
    return " ".join(f"{finals.count(answer)} say {answer}." for answer in ordered)


def chat(rng: random.Random) -> Conversation:
    """Return a greeting or two."""
    return talk_text.small_talk(rng)


def guidance(rng: random.Random) -> Conversation:
    """Return a talk at the desk whose replies follow the strategies in the prompt, and no others."""
    return talk_text.random_dialogue(rng)


def guidance_shift(rng: random.Random) -> Conversation:
    """Return many customers under the same guidance."""
    return talk_text.shift(rng)


def guidance_lookups(rng: random.Random) -> Conversation:
    """Return many customers who are answered with one word of the guidance each."""
    return talk_text.lookups(rng)


Mixture = Mapping[Topic, float]
"""Topics with their share of conversations."""

LARGE: Mixture = {
    sql_dialogue: 5.0,
    sql_lookups: 6.0,
    column_lookups: 1.5,
    word_lookups: 1.5,
    sums: 7.0,
    steps: 1.0,
    debate: 1.5,
    summaries: 0.3,
    guidance: 1.5,
    guidance_shift: 1.5,
    supplements: 0.2,
    chat: 0.2,
}
LARGE_DRILLS: tuple[Mixture, ...] = (
    {guidance_lookups: 1.0},
    {word_lookups: 1.0, guidance_lookups: 0.4},
    {column_lookups: 1.0},
    {sql_lookups: 1.0},
    {sql_lookups: 1.0, guidance_shift: 1.0},
)
SMALL: Mixture = {
    supplements: 3.0,
    guidance_lookups: 0.6,
    ruling_lookups: 0.3,
    booking_lookups: 0.7,
    guidance_shift: 2.0,
    guidance: 1.5,
    guided_shift: 2.5,
    guided_turn: 1.0,
    guided_dialogue: 2.5,
    easy_sums: 0.4,
    chat: 0.2,
    sql_dialogue: 0.2,
}
DESK_DRILLS: tuple[Mixture, ...] = (
    {guidance_lookups: 1.0},
    {guidance_lookups: 0.4, guidance_shift: 1.0},
    {ruling_lookups: 1.0},
    {booking_lookups: 1.0},
)
PLAIN: Mixture = {plain_text: 0.5, diary: 1.0, letters: 4.0}
TEACHER: Mixture = {
    comparison: 1.5,
    comparisons: 3.0,
    handbook_shift: 2.5,
    handbook_dialogue: 2.0,
    guided_turn: 0.5,
    guided_dialogue: 0.5,
    guidance_lookups: 0.3,
    guidance_shift: 0.5,
    ruling_lookups: 0.3,
    booking_lookups: 0.7,
    chat: 0.2,
}
TEACHER_DRILLS: tuple[Mixture, ...] = (
    {comparisons: 1.0},
    {comparisons: 1.0, handbook_shift: 1.0},
    {booking_lookups: 1.0},
)
SCRIBE: Mixture = {desk_notes: 1.0}
