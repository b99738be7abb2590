# pyright: basic
"""From rows of messages to the tokens that a model reads and those that it learns to write."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from trl.chat_template_utils import has_generation_markers

from fulcrum.chat.message import Message, Tool, assistant
from fulcrum.chat.template import template_message
from fulcrum.errors import TrainingError
from fulcrum.training.rows import ChatRow

Tokenizer = Any
"""A tokenizer of transformers, whose own types fit few of its uses."""


@dataclass(frozen=True, slots=True)
class EncodedRow:
    """Tokens that the model reads, and tokens that it learns to write, of which the last is its stop token."""

    prompt_ids: list[int]
    response_ids: list[int]

    def __len__(self) -> int:
        return len(self.prompt_ids) + len(self.response_ids)


def encode(tokenizer: Tokenizer, rows: Sequence[ChatRow], stop_ids: Collection[int]) -> list[EncodedRow]:
    """Turn rows into tokens with the tokenizer's own chat template.

    The prompt is what the model sees when it answers: rendered with the generation prompt, thinking off. The
    response is what follows it once the answer is there; where a template renders the prompt differently then, its
    marks (`{% generation %}`) tell. The response ends with its last stop token; what the template writes after
    that is left out.

    Raises:
        TrainingError: there is no template, it hides where the response starts, or it writes no stop token.
    """
    if tokenizer.chat_template is None:
        raise TrainingError(f"the tokenizer of {tokenizer.name_or_path!r} has no chat template; train a chat model")
    prompt_texts = [_render(tokenizer, row.prompt, row.tools, add_generation_prompt=True) for row in rows]
    texts = [_render(tokenizer, (*row.prompt, assistant(row.response)), row.tools) for row in rows]
    return [
        _until_stop(
            EncodedRow(
                prompt_ids,
                _after(tokenizer, prompt, prompt_ids, text, ids)
                if text.startswith(prompt)
                else _marked(tokenizer, row, prompt, text),
            ),
            stop_ids,
            tokenizer,
        )
        for prompt, prompt_ids, text, ids, row in zip(
            prompt_texts, _tokens(tokenizer, prompt_texts), texts, _tokens(tokenizer, texts), rows, strict=True
        )
    ]


def _render(
    tokenizer: Tokenizer, messages: Sequence[Message], tools: Sequence[Tool], tokenize: bool = False, **options: Any
) -> Any:
    return tokenizer.apply_chat_template(
        [template_message(message) for message in messages],
        tools=[tool.to_json() for tool in tools] or None,
        tokenize=tokenize,
        enable_thinking=False,
        **options,
    )


def _tokens(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    return tokenizer(texts, add_special_tokens=False)["input_ids"]


def _after(tokenizer: Tokenizer, prompt: str, prompt_ids: list[int], text: str, ids: list[int]) -> list[int]:
    if ids[: len(prompt_ids)] == prompt_ids:
        return ids[len(prompt_ids) :]
    # The response opens with characters that merge with the prompt's last token. When the model answers, the
    # prompt's tokens already stand, so the row is built as the model will see it.
    return _tokens(tokenizer, [text[len(prompt) :]])[0]


def _marked(tokenizer: Tokenizer, row: ChatRow, prompt: str, text: str) -> list[int]:
    ids: list[int] = []
    mask: list[int] = []
    if has_generation_markers(tokenizer.chat_template):
        whole = (*row.prompt, assistant(row.response))
        encoded = _render(
            tokenizer, whole, row.tools, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
        )
        ids, mask = encoded["input_ids"], encoded["assistant_masks"]
    if 1 not in mask:
        at = next((i for i, (a, b) in enumerate(zip(prompt, text, strict=False)) if a != b), len(text))
        raise TrainingError(
            f"the chat template of {tokenizer.name_or_path!r} renders the prompt differently once an answer follows "
            f"({prompt[at : at + 40]!r} turns into {text[at : at + 40]!r}), so the answer's tokens cannot be told; "
            "mark them in the template with {% generation %} ... {% endgeneration %}"
        )
    start = len(mask) - mask[::-1].index(1)
    while start > 0 and mask[start - 1]:
        start -= 1
    return ids[start:]


def _until_stop(row: EncodedRow, stop_ids: Collection[int], tokenizer: Tokenizer) -> EncodedRow:
    end = next((i for i in range(len(row.response_ids), 0, -1) if row.response_ids[i - 1] in stop_ids), None)
    if end is None:
        names = ", ".join(map(repr, tokenizer.convert_ids_to_tokens(sorted(stop_ids))))
        raise TrainingError(
            f"the chat template of {tokenizer.name_or_path!r} writes no stop token ({names}) after an answer, so the "
            "model would never learn to stop; end the assistant's turn in the template with eos_token"
        )
    return EncodedRow(row.prompt_ids, row.response_ids[:end])


def check_lengths(lengths: Sequence[int], context: int | None) -> None:
    """Refuse rows that do not fit: cutting them silently would train on answers without an end.

    Raises:
        TrainingError: some rows are longer than `context` tokens.
    """
    long = 0 if context is None else sum(length > context for length in lengths)
    if long:
        raise TrainingError(
            f"{long} of {len(lengths)} rows are longer than the model's context of {context} tokens (the longest has "
            f"{max(lengths)}, row {max(range(len(lengths)), key=lengths.__getitem__) + 1}); shorten or drop them, "
            "or train a model with a longer context"
        )
