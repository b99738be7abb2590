"""Model cards of the checkpoints: how each was made, and what it can do, with intervals."""

from pathlib import Path
from typing import Any

from fulcrum.atomic import read_json, write_json, write_text
from fulcrum.chat import ChatModel
from fulcrum.errors import ModelError
from fulcrum.lab.recipes import FOLDER, recipe
from fulcrum.lab.skills import Skill, measure

CARD = "card.json"


def read_card(name: str) -> dict[str, Any]:
    """Return the card of a checkpoint that ships with the package.

    Raises:
        ModelError: the lab has no such checkpoint, or it is not in this installation.
    """
    recipe(name)
    path = FOLDER / name.removeprefix("lab:") / CARD
    if not path.is_file():
        raise ModelError(
            f"{name!r}: this installation has no such checkpoint; make it with: fulcrum lab pretrain {name}"
        )
    return read_json(path)


def write_card(name: str, folder: Path, model: ChatModel) -> dict[str, Any]:
    """Measure the checkpoint in `folder`, and write its card there as JSON and as `README.md`."""
    short = name.removeprefix("lab:")
    training = read_json(folder / "training.json")
    card = {
        "name": f"lab:{short}",
        "about": recipe(name).about,
        "command": training["command"],
        "training": training,
        "skills": {skill.name: skill.to_json() for skill in measure(model, short)},
    }
    write_json(folder / CARD, card)
    write_text(folder / "README.md", render_card(card))
    return card


def differences(name: str, model: ChatModel) -> list[str]:
    """Measure a shipped checkpoint again, and return a sentence for each skill that left its card's interval."""
    found = {skill.name: skill for skill in measure(model, name.removeprefix("lab:"))}
    card = {skill: Skill.from_json(skill, data) for skill, data in read_card(name)["skills"].items()}
    lines: list[str] = []
    for skill in card.keys() | found.keys():
        if skill not in card or skill not in found:
            lines.append(f"{name}: {skill} is {'measured' if skill in found else 'in the card'} only")
            continue
        low, high = card[skill].interval
        if not low <= found[skill].share <= high:
            lines.append(f"{name}: {skill} is {found[skill].share:.1%}, the card says {low:.1%} to {high:.1%}")
    return sorted(lines)


def render_card(card: dict[str, Any]) -> str:
    """Return a card as Markdown."""
    training, progress = card["training"], card["training"]["progress"]
    rows = [
        "| {} | {:.1%} | {:.1%} to {:.1%} | {} |".format(name, skill["share"], *skill["interval"], skill["total"])
        for name, skill in card["skills"].items()
    ]
    return "\n".join(
        [
            "---",
            "license: apache-2.0",
            "library_name: transformers",
            "pipeline_tag: text-generation",
            "---",
            f"# {card['name']}",
            "",
            f"A tiny model of Fulcrum's lab: {card['about']}.",
            "It was trained on generated text only, and knows no secret of any shop.",
            "",
            f"- parameters: {training['parameters'] / 1e6:.2f} million",
            f"- text seen: {progress['tokens'] / 1e6:.1f} million tokens in {progress['step']:,} steps",
            f"- made with `{card['command']}` in {progress['seconds'] / 60:.0f} minutes on {training['machine']}",
            "",
            "| skill, on held-out worlds | share | 95 % interval | items |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )
