# pyright: basic
"""The lab's checkpoints as models: `lab:large`."""

from fulcrum.chat import ChatModel
from fulcrum.chat.options import split_options
from fulcrum.errors import ModelError
from fulcrum.lab.recipes import FOLDER, recipe


def open_model(name: str) -> ChatModel:
    """Return the checkpoint that `lab:NAME?option=value` stands for; the options are those of `hf:`.

    Raises:
        ModelError: the lab has no such checkpoint, it is not in this installation, or an option is wrong.
    """
    from fulcrum.chat.huggingface import OPTIONS, HuggingFaceModel

    front, options = split_options(name, OPTIONS)
    recipe(front)
    folder = FOLDER / front.removeprefix("lab:")
    if not (folder / "config.json").is_file():
        made = sorted(path.parent.name for path in FOLDER.glob("*/config.json"))
        raise ModelError(
            f"model {name!r}: this installation has no such checkpoint (it has {', '.join(made) or 'none'}); "
            f"make it with: fulcrum lab pretrain {folder.name}"
        )
    return HuggingFaceModel(name, str(folder), **options)
