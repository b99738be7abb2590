"""General instructions: many skills asked about letters to the desk and about nothing of the kind."""

from fulcrum.lab.instructions.letters import Letter, letter_book, register
from fulcrum.lab.instructions.mixture import SKILLS, general_rows

__all__ = ["SKILLS", "Letter", "general_rows", "letter_book", "register"]
