import os

import pytest

# Set before the tokenizers' threads start: the machine's cores are few and the models tiny.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

PEFT_ASKS_BY_ITS_OLD_NAME = "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"


def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(pytest.mark.filterwarnings(PEFT_ASKS_BY_ITS_OLD_NAME))
