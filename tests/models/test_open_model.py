"""What a name `hf:...` can and cannot open, and in which type."""

import json

import pytest
import torch

from fulcrum.chat import resolve
from fulcrum.errors import ModelError
from fulcrum.hardware import choose_dtype
from support.tiny import shared_model, tiny_model


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("?adaptor=x", "did you mean 'adapter'"),
        ("?batch=0", "batch '0' is not a number of rows"),
        ("?dtype=int8", "dtype 'int8' is none of auto"),
        ("?device=tpu9", "device 'tpu9' cannot be used"),
        ("?adapter=nowhere", "no adapter_config.json"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ModelError, match=message):
        resolve(f"hf:{shared_model()}{options}")


def test_a_missing_folder_is_named():
    with pytest.raises(ModelError, match=r"'hf:\./nowhere/at/all' cannot be loaded.*check the path"):
        resolve("hf:./nowhere/at/all")


def test_a_model_that_cannot_chat_is_refused(tmp_path):
    folder = tiny_model(tmp_path)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="has no chat template"):
        resolve(f"hf:{folder}")


def test_a_model_that_cannot_stop_is_refused(tmp_path):
    folder = tiny_model(tmp_path)
    for name in ("tokenizer_config.json", "config.json", "generation_config.json"):
        settings = json.loads((folder / name).read_text())
        settings.pop("eos_token", None)
        (folder / name).write_text(json.dumps(settings | ({"eos_token_id": None} if "token" not in name else {})))
    with pytest.raises(ModelError, match="no stop token"):
        resolve(f"hf:{folder}")


def test_the_type_fits_hardware_and_size(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert choose_dtype("cpu") == torch.float32
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    assert choose_dtype("cpu") == torch.bfloat16
    assert choose_dtype("cpu", 4_999_999) == torch.float32
    assert choose_dtype("cpu", 5_000_000) == torch.bfloat16
