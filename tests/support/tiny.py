"""Tiny real models: random weights, a trained BPE tokenizer, a chat template; loaded like any other from a folder."""

import atexit
import functools
import shutil
import tempfile
import warnings
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

LINES = [
    "how many parcels went to rome last week",
    "the answer is a number between one and twenty",
    "select count(*) from orders where city = 'rome'",
    "please tell me where my parcel is, it is late",
]

TEMPLATE = (
    "{% if tools %}<|system|>tools: {{ tools | tojson }}<|end|>{% endif %}"
    "{% for message in messages %}<|{{ message.role }}|>"
    "{% if message.role == 'assistant' %}{% generation %}{{ message.content }}"
    "{% for call in message.tool_calls or [] %}<tool_call>{{ call.function | tojson }}</tool_call>{% endfor %}"
    "<|end|>{% endgeneration %}"
    "{% else %}{{ message.content }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>"
    "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}{% endif %}"
)

SPECIAL = ["<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"]
VOCABULARY = 300

ARCHITECTURES = {
    "llama": (LlamaConfig, LlamaForCausalLM),
    "gpt_neox": (GPTNeoXConfig, GPTNeoXForCausalLM),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
}


def tiny_tokenizer(path: Path | None = None, template: str = TEMPLATE) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer of 300 pieces with a chat template and a stop token; save it in `path`."""
    pieces = Tokenizer(models.BPE())
    pieces.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    pieces.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    pieces.train_from_iterator(LINES, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=pieces,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        additional_special_tokens=SPECIAL[2:],
        chat_template=template,
    )
    if path is not None:
        tokenizer.save_pretrained(path)
    return tokenizer


def tiny_model(path: Path, architecture: str = "llama", seed: int = 0, context: int = 256) -> Path:
    """Save a random two-layer model of this architecture, with its tokenizer, in `path`, and return `path`."""
    tokenizer = tiny_tokenizer(path)
    config_class, model_class = ARCHITECTURES[architecture]
    config = config_class(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        initializer_range=0.3,  # large, so that prompts matter and greedy answers differ
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model_class(config).save_pretrained(path)
    return path


def tiny_adapter(path: Path, base: Path, seed: int = 0, **settings) -> Path:
    """Save a random LoRA adapter that changes what `base` says in `path`, and return `path`."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = LoraConfig(
            task_type="CAUSAL_LM",
            r=4,
            lora_alpha=8,
            init_lora_weights=False,
            **{"target_modules": "all-linear"} | settings,
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)  # PEFT's, not ours
            warnings.filterwarnings("ignore", "Setting `save_embedding_layers`", UserWarning)
            get_peft_model(AutoModelForCausalLM.from_pretrained(base), config).save_pretrained(path)
    return path


@functools.cache
def shared_model(architecture: str = "llama", seed: int = 0) -> Path:
    """Return a tiny model built once in this process; do not write into its folder."""
    return tiny_model(_session_folder() / f"{architecture}-{seed}", architecture, seed)


@functools.cache
def shared_adapter(architecture: str = "llama", seed: int = 1) -> Path:
    """Return a tiny adapter of `shared_model(architecture)`, built once in this process."""
    return tiny_adapter(_session_folder() / f"{architecture}-adapter-{seed}", shared_model(architecture), seed)


@functools.cache
def _session_folder() -> Path:
    folder = tempfile.mkdtemp(prefix="tiny-models-")
    atexit.register(shutil.rmtree, folder)
    return Path(folder)
