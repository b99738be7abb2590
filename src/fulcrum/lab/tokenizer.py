# pyright: basic
"""The lab's one tokenizer: byte-level BPE with single digits, trained on generated text, and its chat template."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fulcrum.hashing import seed_from

if TYPE_CHECKING:
    from fulcrum.chat import Message

PIECES = 768
PAD, END = "<|pad|>", "<|end|>"
ROLES = ("system", "user", "assistant", "tool")
FOLDER = Path(__file__).parent / "checkpoints" / "tokenizer"

CHAT_TEMPLATE = """\
{%- if tools %}<|system|>tools:
{%- for tool in tools %}{{ '\\n' }}{{ tool.function.name }}(\
{{ tool.function.parameters.properties.keys() | join(', ') }})
{%- endfor %}<|end|>{% endif %}
{%- for message in messages %}
{%- if message.role == 'assistant' %}<|assistant|>{% generation %}{{ message.content }}
{%- for call in message.tool_calls or [] %}<tool_call>{"name": "{{ call.function.name }}", "arguments": \
{{ call.function.arguments if call.function.arguments is string else call.function.arguments | tojson }}}</tool_call>
{%- endfor %}<|end|>{% endgeneration %}
{%- else %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|assistant|>{% endif %}"""
"""One turn is `<|role|>text<|end|>`; `<|end|>` is the stop token, and a part of what an assistant learns to say."""


def train_tokenizer(texts: Iterator[str], pieces: int = PIECES) -> Any:
    """Return a `PreTrainedTokenizerFast` trained on texts; every byte is a piece, so all symbols are reachable."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [PAD, END, *(f"<|{role}|>" for role in ROLES)]
    trainer = trainers.BpeTrainer(
        vocab_size=pieces,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[f"<|{role}|>" for role in ROLES],
        model_max_length=1024,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def load_tokenizer() -> Any:
    """Return the lab's tokenizer as it was committed."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(FOLDER)


def training_texts(count: int = 20_000) -> Iterator[str]:
    """Yield the text that the tokenizer is trained on: what the checkpoints will read."""
    from fulcrum.lab.corpus import LARGE, SMALL

    for mixture in (LARGE, SMALL):
        for index in range(count // 2):
            rng = random.Random(seed_from("tokenizer", index))
            topic = rng.choices(list(mixture), list(mixture.values()))[0]
            yield from (message.content for message in topic(rng))


def segments(messages: "list[Message]") -> list[tuple[str, bool]]:
    """Return a conversation as the chat template writes it, in pieces; True marks what an assistant says."""
    parts: list[tuple[str, bool]] = []
    for message in messages:
        spoken = message.role == "assistant"
        parts += [(f"<|{message.role}|>", False), (f"{message.content}<|end|>", spoken)]
    return parts
