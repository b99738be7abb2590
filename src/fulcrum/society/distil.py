"""One adapter that answers in one call what the society answers in a whole debate."""

from pathlib import Path

from fulcrum.hashing import seed_from
from fulcrum.runs import Run
from fulcrum.society.arms import LINES, Agents
from fulcrum.society.labels import label
from fulcrum.society.settings import SocietySettings
from fulcrum.society.tuning import Tuning
from fulcrum.society.workshop import Workshop
from fulcrum.training.rows import ChatRow


def distil(run: Run, settings: SocietySettings, agents: Agents) -> Path | None:
    """Let the finished society debate its train questions once more, and train the base on the answers it votes for.

    Every answer of the last round that gives the voted answer is a row, as the answer to the bare question.

    Returns:
        The folder of the distilled weights; None if the society votes for fewer than `min_rows` answers.
    """
    workshop = Workshop(run, settings)
    try:
        session = workshop.debate(LINES["society"], settings.iterations + 1, agents)
        labels = workshop.corrected(session, [label(debate, settings, run.recipe.seed) for debate in session.debates])
        rows = [
            ChatRow(debate.messages, said.completion.text)
            for debate, voted in zip(session.debates, labels, strict=True)
            for said in debate.last
            if voted.answer is not None and said.key == voted.answer
        ]
        if len(rows) < settings.min_rows:
            run.log(
                "society/kept", sentence=f"Nothing was distilled: {len(rows)} rows, min_rows is {settings.min_rows}."
            )
            return None
        seed = seed_from(run.recipe.seed, "distil") % 2**32
        tuning = Tuning("distil", [row.to_json() for row in rows], None, seed, origin={"debates": session.stage})
        return workshop.tune([tuning])[0]
    finally:
        workshop.close()
