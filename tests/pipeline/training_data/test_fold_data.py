"""Batches of a fold's clips: sets, shares, lengths, soft targets, and resuming."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.dataset.tables import Label
from pipeline.pseudo_labelling.student import keep_labelled, read_pseudo_labels
from pipeline.runs.folder import RunFolder
from pipeline.runs.recipe import Recipe
from pipeline.runs.scores import Scores, save
from pipeline.runtime.errors import UsageError
from pipeline.store import open_store, write_store
from pipeline.store.schema import FeatureSpec
from pipeline.training_data import examples
from pipeline.training_data.crop_lengths import lengths_text, network_shape, tiling_of
from pipeline.training_data.fold_data import open_fold_data
from pipeline.training_data.fold_task import FoldTask

CLASSES = ("Bark", "Meow", "Rain")
SPEC = FeatureSpec("logmel", 1, "float32", 4, "dB", {
    "sr": 8000, "n_fft": 256, "hop_length": 80, "n_mels": 4, "fmin": 0.0, "fmax": None,
    "top_db": 80.0, "trim_db": 60.0})
RECIPE = Recipe(
    features="logmel", model="cnn", labels="multi", noisy=True, seconds=0.095, pad="silence",
    normalization="standardize", crops="clip", seconds_max=None, overlap=0.0, score_seconds=None,
    curated=True, noisy_share=None, balance=False, teacher=None, batch_size=4, epochs=3,
    learning_rate=0.1, patience=3, monitor="loss", seed=0, network={}, start_from=None, augment={},
    loss={"kind": "cross-entropy", "label_smoothing": 0.0}, noisy_loss=None, noisy_head=False,
    optimizer={"kind": "adam"}, schedule={"kind": "constant"}, averaging={"kind": "none"},
    keep="best", validate_every=1, precision="float32",
)  # crops of 10 frames
LABELS = tuple(
    Label(f"{i:02}.wav", (CLASSES[0 if i % 4 else 1 + i % 8 // 4],),
          "curated" if i < 16 else "noisy", i % 2 if i < 16 else None, "")
    for i in range(22)
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Clips of 15 to 36 frames; the first value of each frame is the clip's number."""
    rng = np.random.default_rng(0)
    frames = {x.clip_id: rng.normal(size=(15 + i, 4)).astype(np.float32)
              for i, x in enumerate(LABELS)}
    for i, x in enumerate(LABELS):
        frames[x.clip_id][:, 0] = i
    return open_store(write_store(tmp_path_factory.mktemp("store") / "logmel.h5", SPEC, frames))


def fold_data(store, *, teacher=None, **settings):
    recipe = replace(RECIPE, **settings)
    training, validation = examples.split(
        [x for x in LABELS if recipe.noisy or x.split == "curated"], 0, curated=recipe.curated
    )
    if teacher is not None:
        training = keep_labelled(training, read_pseudo_labels(teacher, CLASSES))
    task = FoldTask(recipe, {}, "", RunFolder(store.path.parent, "run").fold(0), store.path,
                    store.digest, CLASSES, training, validation, threads=1, side_by_side=1,
                    teacher=teacher)
    return open_fold_data(task, store)


def clips_of(features):
    return features[:, 0, 0].astype(int).tolist()


def test_batches_are_features_targets_and_which_are_noisy(store):
    for features, targets, noisy in fold_data(store).training_batches(1):
        clips = clips_of(features)
        assert features.shape == (len(clips), 10, 4)
        assert targets.tolist() == examples.targets([LABELS[i] for i in clips], CLASSES).tolist()
        assert noisy.tolist() == [float(i >= 16) for i in clips]
        assert features.dtype == targets.dtype == noisy.dtype == np.float32


@pytest.mark.parametrize("settings", [
    {}, {"crops": "sound"}, {"seconds_max": 0.2}, {"noisy_share": 0.5}, {"balance": True},
    {"balance": True, "noisy_share": 0.25, "seconds_max": 0.3, "crops": "sound"},
])
def test_later_epochs_are_the_same_after_a_stop(store, settings):
    data = fold_data(store, **settings)
    whole = list(data.training_batches(1))
    assert len(whole) == 3 * data.batches_per_epoch
    resumed = list(data.training_batches(3))
    for a, b in zip(whole[2 * data.batches_per_epoch:], resumed, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)


def test_a_share_of_noisy_clips_in_every_batch_of_a_pass_over_the_curated(store):
    data = fold_data(store, noisy_share=0.5)
    batches = list(data.training_batches(3))
    assert {float(noisy.sum()) for _, _, noisy in batches} == {2.0}
    clips = sorted(i for features, _, _ in batches for i in clips_of(features) if i < 16)
    assert clips == list(range(1, 16, 2))


def test_balance_draws_every_class_equally_often(store):
    data = fold_data(store, noisy=False, balance=True, epochs=30)
    counts = sum(targets.sum(axis=0) for _, targets, _ in data.training_batches(1))
    assert np.ptp(counts[counts > 0]) <= 1


def test_noisy_clips_alone_train_and_curated_ones_validate(store):
    data = fold_data(store, curated=False)
    clips = [i for features, _, _ in data.training_batches(3) for i in clips_of(features)]
    assert sorted(clips) == list(range(16, 22))
    assert {x.split for x in data.task.validation} == {"curated"}
    with pytest.raises(UsageError, match="there are none"):
        examples.split([x for x in LABELS if x.split == "curated"], 0, curated=False)


def test_lengths_are_drawn_per_batch_from_a_few(store):
    data = fold_data(store, seconds_max=0.395, epochs=40)
    assert data.lengths.tolist() == [10, 14, 19, 23, 27, 31, 36, 40]
    drawn = {features.shape[1] for features, _, _ in data.training_batches(1)}
    assert drawn == set(data.lengths.tolist())
    assert data.batch_shapes == ((None, 4), (3,), ())
    assert fold_data(store).batch_shapes == ((10, 4), (3,), ())


def test_training_crops_lie_in_the_sound(store, monkeypatch):
    sound = np.stack([store.length - 11, store.length], axis=1)
    monkeypatch.setattr(store, "sound", sound)
    for features, _, _ in fold_data(store, crops="sound").training_batches(1):
        for i, crop in zip(clips_of(features), features, strict=True):
            clip = store[LABELS[i].clip_id]
            assert any(np.array_equal(crop, clip[len(clip) - k:][:10]) for k in (10, 11))
    assert fold_data(store, crops="sound").validation.n_frames.tolist() == [10] * 16


# ---- what the network takes


@pytest.mark.parametrize(("settings", "shape"), [
    ({}, (10, 4)), ({"overlap": 0.5}, (10, 4)), ({"seconds_max": 0.095}, (10, 4)),
    ({"score_seconds": 0.095}, (10, 4)), ({"seconds_max": 0.2}, (None, 4)),
    ({"score_seconds": 0.0}, (None, 4)), ({"score_seconds": 0.2}, (None, 4)),
])
def test_a_network_takes_any_length_only_where_lengths_differ(settings, shape):
    assert network_shape(replace(RECIPE, **settings), SPEC) == shape


def test_settings_that_make_lengths_differ_are_named():
    assert lengths_text(RECIPE, SPEC) == "0.095 s"
    assert lengths_text(replace(RECIPE, score_seconds=0.0), SPEC) == (
        "0.095 s and other lengths (--score-seconds 0)")


def test_tiles_are_as_long_as_asked_for_or_whole_clips():
    assert tiling_of(replace(RECIPE, score_seconds=0.195, overlap=0.5), SPEC).least == 20
    whole = tiling_of(replace(RECIPE, score_seconds=0.0, crops="sound"), SPEC)
    assert (whole.least, whole.most, whole.sound_only) == (10, 6001, True)


# ---- a teacher's labels


@pytest.fixture
def teacher(tmp_path):
    path = RunFolder(tmp_path, "student").fold(0).pseudo_labels
    path.parent.mkdir(parents=True)
    ids = ("17.wav", "20.wav")
    save(path, Scores(ids, CLASSES[::-1], np.array([[.1, .2, .7], [0, 1, .5]], np.float32)))
    return path


def test_a_teachers_labels_replace_those_of_noisy_clips_and_the_others_go(store, teacher):
    wanted = {17: [.7, .2, .1], 20: [.5, 1, 0]}
    found = set()
    for features, targets, noisy in fold_data(store, teacher=teacher).training_batches(3):
        for i, values, flag in zip(clips_of(features), targets, noisy, strict=True):
            assert flag == (i >= 16)
            if flag:
                found.add(i)
                np.testing.assert_array_equal(values, np.float32(wanted[i]))
    assert found == {17, 20}
