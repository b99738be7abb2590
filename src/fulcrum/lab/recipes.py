"""The table of the lab's checkpoints: what each is made of, and what it reads while it is made."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fulcrum.errors import ModelError
from fulcrum.lab import corpus
from fulcrum.lab.corpus import Mixture

FOLDER = Path(__file__).parent / "checkpoints"
"""Where the package keeps the checkpoints that ship with it."""


@dataclass(frozen=True)
class CheckpointRecipe:
    """How a checkpoint is made.

    Attributes:
        about: one line for `fulcrum lab info`.
        mixture: topics of its training text.
        drills: what is read before it, `DRILL_STEPS` steps of each: dense text, from which looking things up is learnt.
        width: hidden size.
        layers: number of blocks.
        heads: attention heads.
        steps: optimizer steps of a full training.
        seed: of weights and text.
        architecture: `model_type` of Transformers.
        plain: true for a model that reads plain text and learns no turn-taking: the loss lies on every token.
    """

    about: str
    mixture: Mixture
    width: int
    layers: int
    heads: int
    steps: int
    seed: int = 0
    drills: tuple[Mixture, ...] = ()
    architecture: str = "llama"
    plain: bool = False


RECIPES: Mapping[str, CheckpointRecipe] = {
    "large": CheckpointRecipe(
        "SQL from schema and notes, sums worked in careful and sloppy ways, follows guidance",
        corpus.LARGE,
        width=192,
        layers=6,
        heads=6,
        steps=2000,
        drills=corpus.LARGE_DRILLS,
    ),
    "small": CheckpointRecipe(
        "writes supplements of every form, easy sums, small talk, follows guidance",
        corpus.SMALL,
        width=192,
        layers=4,
        heads=6,
        steps=1200,
        seed=1,
        drills=corpus.DESK_DRILLS,
    ),
    "other": CheckpointRecipe(
        "like small, of another architecture and seed",
        corpus.SMALL,
        width=144,
        layers=5,
        heads=4,
        steps=1200,
        seed=2,
        drills=corpus.DESK_DRILLS,
        architecture="gpt_neox",
    ),
    "base": CheckpointRecipe(
        "the plain text of such worlds, no instruction at all",
        corpus.PLAIN,
        width=144,
        layers=5,
        heads=4,
        steps=400,
        seed=3,
        plain=True,
    ),
    "teacher": CheckpointRecipe(
        "acts by a handbook in its prompt, and says what its own reply had and another's lacked",
        corpus.TEACHER,
        width=192,
        layers=4,
        heads=6,
        steps=1500,
        seed=4,
        drills=corpus.TEACHER_DRILLS,
    ),
    "scribe": CheckpointRecipe(
        "writes notes of every form on what to say next at a desk",
        corpus.SCRIBE,
        width=192,
        layers=3,
        heads=6,
        steps=2000,
        seed=5,
    ),
}
"""Every checkpoint of the lab by name."""


def recipe(name: str) -> CheckpointRecipe:
    """Return the recipe of a checkpoint, named with or without `lab:`.

    Raises:
        ModelError: the lab has no such checkpoint.
    """
    short = name.removeprefix("lab:")
    if short not in RECIPES:
        near = difflib.get_close_matches(short, RECIPES, n=1)
        hint = f"; did you mean lab:{near[0]}?" if near else ""
        raise ModelError(f"{name!r}: the lab has no such checkpoint{hint} It has {', '.join(sorted(RECIPES))}")
    return RECIPES[short]
