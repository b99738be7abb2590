"""Tasks: examples, splits, prompts, scorers."""

from fulcrum.task.example import SPLITS, Example, Question, Split
from fulcrum.task.prompt import PromptTemplate
from fulcrum.task.score import Score, Scorer, Verdict, failed, graded, right, unparsable, wrong
from fulcrum.task.task import Environment, Episode, Expert, SingleAnswer, Task

__all__ = [
    "SPLITS",
    "Environment",
    "Episode",
    "Example",
    "Expert",
    "PromptTemplate",
    "Question",
    "Score",
    "Scorer",
    "SingleAnswer",
    "Split",
    "Task",
    "Verdict",
    "failed",
    "graded",
    "right",
    "unparsable",
    "wrong",
]
