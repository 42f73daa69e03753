"""Which clips batches have: counts that follow from the definitions, and resuming."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.batching.sampling import Sampling, balanced, clips_by_class, cycled

sizes = st.integers(1, 12)
pieces = st.tuples(st.integers(0, 40), st.integers(0, 40))


@given(sizes, pieces, st.integers(0, 99))
def test_a_piece_of_cycles_is_the_same_wherever_it_begins(n, piece, seed):
    first, count = piece
    whole = cycled(n, 0, 80, (seed,), 1)
    assert cycled(n, first, count, (seed,), 1).tolist() == whole[first:first + count].tolist()
    for k in range(80 // n):
        assert sorted(whole[k * n:(k + 1) * n].tolist()) == list(range(n))


def test_streams_and_seeds_differ():
    drawn = {tuple(cycled(20, 0, 20, (seed,), stream).tolist())
             for seed in (0, 1) for stream in (1, 2)}
    assert len(drawn) == 4


classes_strategy = st.lists(st.lists(st.integers(0, 9), max_size=6, unique=True), min_size=1,
                            max_size=5).filter(any)


@given(classes_strategy, pieces, st.integers(0, 99))
def test_balanced_clips_are_the_same_wherever_a_piece_begins(lists, piece, seed):
    classes = [np.array(x, np.int64) for x in lists]
    first, count = piece
    whole = balanced(classes, 0, 80, (seed,))
    assert balanced(classes, first, count, (seed,)).tolist() == whole[first:first + count].tolist()


def test_all_classes_are_drawn_equally_often_and_so_are_the_clips_of_each():
    classes = [np.arange(0, 7), np.arange(7, 9), np.array([], np.int64), np.array([9])]
    counts = np.bincount(balanced(classes, 0, 42, (5,)), minlength=10)
    assert counts.tolist() == [2] * 7 + [7] * 2 + [14]


def test_a_clip_of_several_classes_is_drawn_for_each():
    targets = np.array([[1, 0, 0], [1, 1, 0], [.2, .4, .3], [0, 0, 0]], np.float32)
    classes = clips_by_class(targets, np.arange(4))
    assert [clips.tolist() for clips in classes] == [[0, 1], [1, 2], []]
    assert np.bincount(balanced(classes, 0, 8, (0,))).tolist() == [2, 4, 2]


def test_an_epoch_is_one_pass_in_another_order():
    sampling = Sampling((3,), 4, np.array([5, 6, 7, 8, 9]))
    epochs = [sampling.batches(epoch, np.random.default_rng(epoch)) for epoch in (1, 2)]
    for batches in epochs:
        assert [len(batch) for batch in batches] == [2, 3]
        assert sorted(np.concatenate(batches).tolist()) == [5, 6, 7, 8, 9]
    assert len(epochs[0]) == sampling.batches_per_epoch
    assert np.concatenate(epochs[0]).tolist() != np.concatenate(epochs[1]).tolist()


@given(st.integers(1, 30), st.integers(1, 30), st.integers(2, 9), st.data())
def test_every_batch_has_its_share_of_noisy_clips(n_curated, n_noisy, batch_size, data):
    share = data.draw(st.integers(1, batch_size - 1))
    noisy = np.arange(100, 100 + n_noisy)
    sampling = Sampling((0, 1), batch_size, np.arange(n_curated), noisy=noisy, n_noisy=share)
    drawn = []
    for epoch in range(1, 4):
        batches = sampling.batches(epoch, np.random.default_rng(epoch))
        assert all(len(batch) <= batch_size for batch in batches)
        assert {int((batch >= 100).sum()) for batch in batches} == {share}
        curated = np.concatenate([batch[batch < 100] for batch in batches])
        assert sorted(curated.tolist()) == list(range(n_curated))
        drawn += [clip for batch in batches for clip in batch[batch >= 100].tolist()]
    # Without replacement: no clip is ever two draws ahead of another.
    counts = np.bincount(drawn, minlength=100 + n_noisy)[100:]
    assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("balance", [False, True])
def test_a_later_epoch_does_not_depend_on_the_earlier_ones(balance):
    rows = np.arange(11)
    sampling = Sampling((4,), 6, rows, classes=(rows[:9], rows[7:]) if balance else None,
                        noisy=np.arange(11, 16), n_noisy=2)
    for _ in range(2):
        alone = [x.tolist() for x in sampling.batches(3, np.random.default_rng(0))]
        for epoch in (1, 2):
            sampling.batches(epoch, np.random.default_rng(epoch))
        assert [x.tolist() for x in sampling.batches(3, np.random.default_rng(0))] == alone


def test_balance_holds_over_epochs_that_are_no_multiple_of_the_classes():
    rows = np.arange(7)
    sampling = Sampling((4,), 3, rows, classes=(rows[:4], rows[4:6], rows[6:]))
    drawn = np.concatenate([
        np.concatenate(sampling.batches(epoch, np.random.default_rng(epoch)))
        for epoch in range(1, 13)
    ])
    assert np.bincount(drawn, minlength=7).tolist() == [7] * 4 + [14] * 2 + [28]
