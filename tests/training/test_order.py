from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from fulcrum.training.settings import TrainingSettings
from fulcrum.training.trainer import plan_order

LENGTHS = st.lists(st.integers(1, 50), min_size=1, max_size=40)


@given(LENGTHS, st.integers(1, 4), st.integers(1, 9), st.integers(0, 5))
def test_every_epoch_holds_every_row_once(lengths, epochs, batch_size, seed):
    order = plan_order(lengths, TrainingSettings(epochs=epochs, seed=seed), batch_size)
    assert Counter(order) == dict.fromkeys(range(len(lengths)), epochs)


@given(LENGTHS, st.integers(1, 12), st.integers(1, 9))
def test_steps_are_as_many_as_asked_for_and_spend_rows_evenly(lengths, steps, batch_size):
    order = plan_order(lengths, TrainingSettings(steps=steps), batch_size)
    assert len(order) == steps * batch_size
    used = Counter(order)
    assert max(used.values()) - min(used[index] for index in range(len(lengths))) <= 1


@given(LENGTHS, st.integers(1, 9), st.integers(0, 3))
def test_lengths_decide_the_place_within_a_step_but_never_the_step(lengths, batch_size, seed):
    settings = TrainingSettings(seed=seed, epochs=2)
    plain = plan_order([1] * len(lengths), settings, batch_size)
    sorted_by_length = plan_order(lengths, settings, batch_size)
    for start in range(0, len(plain), batch_size):
        step = sorted_by_length[start : start + batch_size]
        assert Counter(step) == Counter(plain[start : start + batch_size])
        assert [lengths[index] for index in step] == sorted((lengths[index] for index in step), reverse=True)


def test_seeds_and_epochs_give_other_orders_unless_the_order_is_given():
    lengths = [1] * 50
    twice = plan_order(lengths, TrainingSettings(epochs=2), 1)
    assert twice[:50] != twice[50:]
    assert plan_order(lengths, TrainingSettings(seed=1), 1) != twice[:50]
    assert plan_order(lengths, TrainingSettings(shuffle=False, epochs=2), 1) == [*range(50), *range(50)]
