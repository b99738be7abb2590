import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulcrum.errors import TaskError
from fulcrum.task import Example
from fulcrum.task.split import sample_by_hash, split_by_hash

SHARES = {"train": 0.6, "dev": 0.2, "test": 0.2}
inputs = st.lists(st.text(), unique=True, max_size=30)


def examples_of(texts):
    return [Example({"text": text}) for text in texts]


def places(splits):
    return {example.id: split for split, examples in splits.items() for example in examples}


@given(texts=inputs, more=inputs, seed=st.integers(0, 5))
def test_adding_or_removing_examples_moves_no_other(texts, more, seed):
    alone = places(split_by_hash(examples_of(texts), SHARES, seed))
    together = places(split_by_hash(examples_of(dict.fromkeys(more + texts)), SHARES, seed))
    assert alone.items() <= together.items()
    assert len(alone) == len(texts)


def test_only_the_input_decides():
    plain = places(split_by_hash(examples_of("abcdefgh"), SHARES))
    dressed = [Example({"text": text}, target=1, metadata={"x": 2}, source="f:1") for text in "abcdefgh"]
    assert places(split_by_hash(dressed, SHARES)) == plain


def test_sizes_meet_the_shares_and_seeds_are_independent():
    examples = examples_of(str(number) for number in range(2000))
    first, second = (split_by_hash(examples, SHARES, seed) for seed in (0, 1))
    for split, share in SHARES.items():
        spread = math.sqrt(2000 * share * (1 - share))
        assert abs(len(first[split]) - 2000 * share) < 4 * spread
    both = {example.id for example in first["test"]} & {example.id for example in second["test"]}
    assert abs(len(both) - 2000 * 0.04) < 4 * math.sqrt(2000 * 0.04)


def test_a_share_left_out_gets_nothing():
    splits = split_by_hash(examples_of(str(number) for number in range(100)), {"dev": 0.0, "test": 1.0})
    assert [len(splits[split]) for split in ("train", "dev", "test")] == [0, 0, 100]


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"train": 0.5, "dev": 0.1}, "add up to 0.6, not to 1"),
        ({"train": 1.5, "dev": -0.5}, "dev is -0.5"),
        ({"train": 1.0, "dev": math.nan}, "dev is nan"),
        ({"tarin": 1.0}, "no split 'tarin'; did you mean 'train'?"),
    ],
)
def test_shares_that_cannot_work_are_refused(shares, message):
    with pytest.raises(TaskError) as error:
        split_by_hash([], shares)
    assert message in str(error.value)


@given(texts=inputs, data=st.data())
def test_a_smaller_sample_is_part_of_a_larger_one_and_keeps_the_order(texts, data):
    examples = examples_of(texts)
    large = data.draw(st.integers(0, len(examples)))
    small = data.draw(st.integers(0, large))
    larger, smaller = sample_by_hash(examples, large, 3), sample_by_hash(examples, small, 3)
    assert len(larger) == large
    assert smaller == [example for example in larger if example in smaller]
    assert larger == [example for example in examples if example in larger]


def test_a_sample_does_not_follow_the_split():
    """Else a sample of train would hold the inputs nearest to dev."""
    train = split_by_hash(examples_of(str(number) for number in range(2000)), SHARES)["train"]
    sample = sample_by_hash(train, 100)
    first_half = {example.id for example in split_by_hash(train, {"train": 0.3, "dev": 0.7})["train"]}
    assert 30 < sum(example.id in first_half for example in sample) < 70


def test_more_than_there_are_is_refused():
    with pytest.raises(TaskError, match="3 examples wanted, but there are 2"):
        sample_by_hash(examples_of("ab"), 3)
