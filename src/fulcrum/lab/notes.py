"""Notes about a question, in the eight forms of a supplement. Whether they are right is the caller's choice."""

import random
from collections.abc import Mapping, Sequence

from fulcrum.lab.queries import Query
from fulcrum.lab.world import Condition, Meaning, Schema, Term

FORMS = ("answer", "background", "cot", "rephrase", "summary", "mistakes", "one_shot", "pairs")
"""The forms of a supplement (see the package `fulcrum.supplement`)."""


def header(form: str) -> str:
    """Return the first line of a supplement: `[[form: NAME]]`."""
    return f"[[form: {form}]]"


def write_note(rng: random.Random, form: str, schema: Schema, query: Query, meanings: Mapping[Term, Meaning]) -> str:
    """Return a note in one of `FORMS`, without its header, that reads the house words as `meanings` says."""
    read = query.read(meanings)
    points = [(term.phrase, meanings[term]) for term in query.terms]
    points = points or [(mention.words, mention.meaning) for mention in query.mentions]
    match form:
        case "answer":
            return read.sql(schema)
        case "rephrase":
            return read.english(schema)
        case "summary":
            return _summary(read)
        case "cot":
            steps = [f"{words} is {meaning.sql()}." for words, meaning in points]
            return " ".join([f"look at {query.table.name}.", *steps, f"so {_summary(read)}."])
        case "mistakes":
            return "\n".join(
                f"{words} is not {_other(rng, schema, meaning).sql()}, but {meaning.sql()}."
                for words, meaning in points
            )
        case "pairs":
            return "\n".join(
                f"{words}: right {meaning.sql()}, wrong {_other(rng, schema, meaning).sql()}"
                for words, meaning in points
            )
        case "one_shot":
            return "\n".join(_shot(schema, words, meaning) for words, meaning in points)
        case _:
            return glossary(points)


def glossary(points: Sequence[tuple[str, Meaning]]) -> str:
    """Return one line a house word, such as `slow boats means carrier = 'van'.` for the first."""
    return "\n".join(f"{words} means {meaning.sql()}." for words, meaning in points)


def _summary(read: Query) -> str:
    asked = read.measure.meaning.sql() if read.measure else f"{read.shape} by {read.group}" if read.group else "count"
    return f"{asked} where {' and '.join(mention.meaning.sql() for mention in read.conditions)}"


def _shot(schema: Schema, words: str, meaning: Meaning) -> str:
    """Return a worked example that uses the word: a question, and its SQL."""
    if not isinstance(meaning, Condition):
        name = schema.events.name
        return f"what is the {words} of {name}? select {meaning.sql()} from {name}"
    home = schema.table_of(meaning.column).name
    phrase = schema.column(meaning.column).phrase.format(words)
    return f"how many {home} {phrase}? select count(*) from {home} where {meaning.sql()}"


def _other(rng: random.Random, schema: Schema, meaning: Meaning) -> Meaning:
    """Return another meaning of the same kind."""
    kind = meaning.column if isinstance(meaning, Condition) else "measure"
    return rng.choice([other for other in schema.meanings(kind) if other != meaning])
