# pyright: basic
"""Rows as the model to be tuned counts them: what is read, what bears loss, and what does not fit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformers import AutoConfig, AutoTokenizer, GenerationConfig

from fulcrum.errors import ModelError, SettingsError
from fulcrum.leverage.anchor import Anchor
from fulcrum.training.rows import ChatRow
from fulcrum.training.source import parameters_of
from fulcrum.training.tokens import encode


@dataclass(frozen=True, slots=True)
class Size:
    """Tokens of one row: read in all, and bearing loss (the answer with its stop token)."""

    read: int
    loss: int


class TokenCounter:
    """Counts as the trainer will.

    Args:
        source: folder or hub name of the model.

    Raises:
        ModelError: there is no such model.
    """

    def __init__(self, source: str) -> None:
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(source)
            config = AutoConfig.from_pretrained(source)
        except (OSError, ValueError) as error:
            raise ModelError(f"cannot load the tokenizer of {source!r}: {error}") from error
        self._source = source
        self.context: int | None = getattr(config.get_text_config(), "max_position_embeddings", None)
        self._stops = _stop_ids(source, self._tokenizer, config)
        self._known: dict[ChatRow, Size] = {}

    @property
    def parameters(self) -> int:
        """How many weights the model has."""
        return parameters_of(self._source)

    def sizes(self, rows: Sequence[ChatRow]) -> list[Size]:
        """Return the tokens of each row; what was counted before is not counted again.

        Raises:
            TrainingError: the chat template hides where an answer starts, or ends none.
        """
        new = [row for row in dict.fromkeys(rows) if row not in self._known]
        encoded = encode(self._tokenizer, new, self._stops) if new else []
        self._known.update(
            (row, Size(len(tokens), len(tokens.response_ids))) for row, tokens in zip(new, encoded, strict=True)
        )
        return [self._known[row] for row in rows]

    def text(self, text: str) -> int:
        """Return the tokens of a text by itself."""
        return len(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def check(self, what: str, rows: Sequence[ChatRow], anchor: Anchor | None = None) -> None:
        """Refuse rows that do not fit the context, and an anchor that makes them too long.

        Args:
            what: what the rows are, for the message.
            rows: without anchor.
            anchor: that they will carry.

        Raises:
            SettingsError: some do not fit; cutting them would train on answers without an end.
        """
        if self.context is None or not rows:
            return
        plain = [size.read for size in self.sizes(rows)]
        long = [index for index, size in enumerate(plain) if size > self.context]
        if long:
            raise SettingsError(
                f"{len(long)} of {len(rows)} {what} rows are longer than the {self.context} tokens of the context "
                f"of {self._source!r} (row {long[0] + 1} has {plain[long[0]]}); shorten or drop them, or tune "
                "a model with a longer context"
            )
        if anchor is None:
            return
        sizes = [size.read for size in self.sizes([anchor.row(row) for row in rows])]
        long = [index for index, size in enumerate(sizes) if size > self.context]
        if long:
            taken = sizes[long[0]] - plain[long[0]]
            raise SettingsError(
                f"the anchor {anchor.text[:60]!r} takes {taken} of the {self.context} tokens of the context of "
                f"{self._source!r}: {len(long)} of {len(rows)} {what} rows fit without it and not with it; shorten it, "
                "or drop them"
            )


def _stop_ids(source: str, tokenizer: Any, config: Any) -> set[int]:
    """Return what the trainer takes for stop tokens: the tokenizer's, and those of the generation settings."""
    try:
        declared = GenerationConfig.from_pretrained(source).eos_token_id
    except OSError:  # a model without generation settings of its own derives them from its configuration
        declared = config.eos_token_id
    several = declared if isinstance(declared, list) else [declared]
    return {token for token in [tokenizer.eos_token_id, *several] if token is not None}
