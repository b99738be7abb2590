# pyright: basic
"""What the machine at hand computes best in. Torch is loaded by the functions, not by the module."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

WORTH_BFLOAT16 = 5_000_000
"""Parameters from which bfloat16 pays on a CPU that has it; below, the time goes elsewhere than into products."""

SMALL_PARAMETERS = 30_000_000
"""Up to this size a model on a CPU cannot keep several cores busy: its operations are too small to be shared."""


def choose_device() -> str:
    """Return `cuda` if a GPU can be used, else `cpu`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def choose_dtype(device: str | None = None, parameters: int | None = None) -> "torch.dtype":
    """Return the type that a model of this size is best computed in.

    bfloat16 where the hardware multiplies it natively, else float32: a GPU without bfloat16 has float16, but a
    model trained in bfloat16 can overflow in that.

    Args:
        device: such as `cuda:1` or `cpu`; None means `choose_device()`.
        parameters: size of the model; None means large.
    """
    import torch

    if torch.device(device or choose_device()).type == "cuda":
        native, worth = torch.cuda.is_bf16_supported(including_emulation=False), True
    else:
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        worth = parameters is None or parameters >= WORTH_BFLOAT16
    return torch.bfloat16 if native and worth else torch.float32


def memory_bytes(device: str) -> int:
    """Return the whole memory of a device, used or not, so that what is planned with it is the same every time."""
    import psutil
    import torch

    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return psutil.virtual_memory().total
