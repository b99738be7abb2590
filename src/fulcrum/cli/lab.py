"""`fulcrum lab`."""

import shutil
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.table import Table

from fulcrum.chat import resolve
from fulcrum.cli.common import console, log, print_json
from fulcrum.evaluation.figures import table_of
from fulcrum.lab.recipes import FOLDER, RECIPES, recipe
from fulcrum.lab.shop import Shop
from fulcrum.lab.tasks import TASKS
from fulcrum.task import SPLITS
from fulcrum.task.load import load_task

lab = App(name="lab", help="The Corner Shop: its tasks, its worlds, and the tiny models that ship.")

Machine = Annotated[bool, Parameter(negative=())]

_SHOWN_ROWS = 3


@lab.command
def info(*, json: Machine = False) -> None:
    """Print tasks and checkpoints: size, measured skills, and the command that made each.

    Args:
        json: Print for machines.
    """
    from fulcrum.lab.cards import CARD, read_card

    cards = {name: read_card(name) for name in RECIPES if (FOLDER / name / CARD).is_file()}
    if json:
        print_json({"tasks": [f"lab:{name}" for name in TASKS], "checkpoints": cards})
        return
    tasks = table_of(("task",), SPLITS)
    for name in TASKS:
        loaded = load_task(f"lab:{name}")
        tasks.add_row(loaded.name, *(str(len(loaded.splits.get(split, ()))) for split in SPLITS))
    console.print(tasks)
    for name, made_by in RECIPES.items():
        card = cards.get(name)
        console.print(f"lab:{name}: {made_by.about}", style="bold", highlight=False)
        if card is None:
            console.print(f"  not in this installation; fulcrum lab pretrain {name} makes it", highlight=False)
            continue
        training = card["training"]
        size = f"{training['parameters'] / 1e6:.2f} M parameters, {training['progress']['tokens'] / 1e6:.1f} M tokens"
        console.print(f"  {size}, made by: {card['command']}", highlight=False)
        for skill, figures in card["skills"].items():
            low, high = figures["interval"]
            line = f"  {skill}: {figures['share']:.1%} [{low:.1%}, {high:.1%}] of {figures['total']}"
            console.print(line, highlight=False)


@lab.command
def shop(*, seed: int = 0) -> None:
    """Open a shop: its tables, sample questions of each task, a dialogue at the desk. No secret is shown.

    Args:
        seed: Which shop.
    """
    world = Shop(seed)
    with world.connect() as connection:
        for (name,) in connection.execute(
            "select name from sqlite_master where type = 'table' order by name"
        ).fetchall():
            rows = connection.execute(f"select * from {name} limit {_SHOWN_ROWS}")
            table = Table(*(column[0] for column in rows.description), title=name)
            for row in rows:
                table.add_row(*map(str, row))
            console.print(table)
    for name in TASKS:
        task = load_task(f"lab:{name}?seed={seed}")
        if task.environment is not None:
            continue
        console.print(task.name, style="bold", highlight=False)
        for example in task.examples("train")[:_SHOWN_ROWS]:
            *_, text = example.fields.values()
            console.print(f"  {text}", highlight=False, soft_wrap=True)
    _print_dialogue(f"lab:desk?seed={seed}")


def _print_dialogue(spec: str) -> None:
    """Let the desk's expert of rules play one dialogue."""
    task = load_task(spec)
    assert task.expert is not None
    episode = task.open(task.examples("train")[0].id)
    while not episode.done:
        episode.step(task.expert(episode))
    console.print(f"{task.name}: a dialogue with the expert", style="bold", highlight=False)
    for message in episode.messages[1:]:
        console.print(f"  [{message.role}] {message.content}", highlight=False, soft_wrap=True)
    score = episode.score()
    console.print(f"  score {score.value:.2f}: {dict(score.details)}", highlight=False, soft_wrap=True)


@lab.command
def pretrain(
    checkpoint: str,
    /,
    *,
    output: Path | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    start: str | None = None,
    device: str = "cpu",
    compiled: Machine = False,
    install: Machine = False,
) -> None:
    """Train a checkpoint of the lab from generated text, and measure it. The same command continues after a kill.

    Args:
        checkpoint: Its name, such as large.
        output: Folder of the training; by default runs/pretrain-NAME, with the steps behind it if it goes on from some.
        steps: Optimizer steps, instead of the recipe's.
        minutes: Stop after so many minutes of training; the learning rate then falls with the clock.
        start: Checkpoint to go on from: a folder, or one that is installed, such as lab:large.
        device: Where to train: cpu or cuda.
        compiled: Use torch.compile; needs a C++ compiler.
        install: Put the result where lab:NAME is looked for.
    """
    short = checkpoint.removeprefix("lab:")
    recipe(short)  # a wrong name is refused before anything heavy is loaded
    import logging

    from fulcrum.chat.huggingface import HuggingFaceModel
    from fulcrum.lab.cards import render_card, write_card
    from fulcrum.lab.pretraining import pretrain as train
    from fulcrum.lab.pretraining import steps_behind

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    behind = f"-{steps_behind(start)}" if start else ""
    output = output or Path("runs") / f"pretrain-{short}{behind}"
    made = train(short, output, steps, minutes, start, device, compiled)
    log.print(f"measuring {made}", highlight=False)
    console.print(render_card(write_card(short, made, HuggingFaceModel(f"lab:{short}", str(made)))))
    if install:
        shutil.copytree(made, FOLDER / short, dirs_exist_ok=True)
        log.print(f"installed as lab:{short}", highlight=False)


@lab.command
def tokenizer(output: Path, /) -> None:
    """Train the lab's tokenizer anew from generated text. The checkpoints keep the one that they were made with.

    Args:
        output: Folder of the new tokenizer.
    """
    from fulcrum.lab.tokenizer import train_tokenizer, training_texts

    train_tokenizer(training_texts()).save_pretrained(output)
    log.print(f"written: {output}", highlight=False)


@lab.command
def evaluate(*checkpoints: str) -> None:
    """Measure the shipped checkpoints again; exit 1 if a skill has left the interval on its card.

    Args:
        checkpoints: Their names; by default all that are installed.
    """
    from fulcrum.lab.cards import CARD, differences

    names = checkpoints or tuple(name for name in RECIPES if (FOLDER / name / CARD).is_file())
    wrong: list[str] = []
    for name in names:
        found = differences(name, resolve(f"lab:{name.removeprefix('lab:')}"))
        wrong += found
        console.print(f"{name}: {'as its card says' if not found else 'differs'}", highlight=False)
    for line in wrong:
        console.print(line, highlight=False, soft_wrap=True)
    sys.exit(1 if wrong else 0)
