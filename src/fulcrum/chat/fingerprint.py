# pyright: basic
"""What tells local weights apart: hashes of content, wherever the folder lies."""

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fulcrum.hashing import content_hash, file_hash

if TYPE_CHECKING:  # whoever asks for the hash of an adapter need not wait for it
    from transformers import PreTrainedConfig

_INCIDENTAL = {"_name_or_path", "transformers_version", "dtype", "torch_dtype"}
_INCIDENTAL_ADAPTER = {
    "auto_mapping",
    "base_model_name_or_path",
    "inference_mode",
    "peft_version",
    "revision",
    "task_type",
}


def model_fingerprint(source: str, config: "PreTrainedConfig", tokenizer: Any, stop_tokens: Iterable[int]) -> str:
    """Return a hash of weights, configuration, tokenizer and chat template.

    The weights of a folder are read whole (in parallel, about as fast as the disk); those of a model on the hub
    are known by their commit.
    """
    if Path(source).is_dir():
        files = sorted([*Path(source).glob("*.safetensors")] or Path(source).glob("*.bin"))
        with ThreadPoolExecutor() as pool:
            weights = list(pool.map(lambda file: [file.name, file_hash(file)], files))
    else:
        weights = config._commit_hash
    backend = tokenizer.backend_tokenizer.to_str() if tokenizer.is_fast else tokenizer.get_vocab()
    settings = json.loads(config.to_json_string())
    return content_hash(
        {
            "weights": weights,
            "config": {key: value for key, value in settings.items() if key not in _INCIDENTAL},
            "tokenizer": content_hash(backend),
            "template": tokenizer.chat_template,
            "stop_tokens": sorted(stop_tokens),
        }
    )


def adapter_fingerprint(folder: Path) -> str:
    """Return a hash of a PEFT adapter's weights and of the settings that change what they do."""
    settings = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    files = sorted([*folder.glob("adapter_model.safetensors")] or folder.glob("adapter_model.bin"))
    return content_hash(
        {
            "weights": [file_hash(file) for file in files],
            # PEFT writes sets as lists in any order.
            "config": {
                key: sorted(value) if isinstance(value, list) else value
                for key, value in settings.items()
                if key not in _INCIDENTAL_ADAPTER
            },
        }
    )
