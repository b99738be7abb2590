"""The answer is right if it is the target, letter by letter."""

from fulcrum.task.example import Example
from fulcrum.task.score import Score, right, unparsable, wrong
from fulcrum.task.scorers.scorer import ConfiguredScorer, target_text


class ExactScorer(ConfiguredScorer):
    """Compares texts.

    Attributes:
        strip: leave out space before and after, and take any run of space for one.
        ignore_case: take capital and small letters for the same.
    """

    kind = "exact"
    strip: bool = True
    ignore_case: bool = False

    def score(self, example: Example, text: str) -> Score:
        """Return right or wrong; a blank text is unparsable."""
        target = target_text(example)
        if not text.strip() and target.strip():
            return unparsable("the answer is blank")
        if self._normal(text) == self._normal(target):
            return right()
        return wrong(f"expected {target!r}")

    def gold(self, example: Example) -> str:
        """Return the target."""
        return target_text(example)

    def answer_key(self, text: str) -> str | None:
        """Return the text as it is compared."""
        return self._normal(text) or None

    def _normal(self, text: str) -> str:
        text = " ".join(text.split()) if self.strip else text
        return text.casefold() if self.ignore_case else text
