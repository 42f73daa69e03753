"""When a training stops, and which of its models is kept."""


import keras
import numpy as np
import pandas as pd
import pytest

from pipeline.runs.scores import load
from pipeline.scoring.metrics import lwlrap
from pipeline.training.callbacks import best_epoch, is_over
from training_world import (
    covering,
    read_history,
    recipe,
)


def rows_of(*losses):
    return [{"epoch": i, "val_loss": x, "val_lwlrap": 1 - x} for i, x in enumerate(losses, 1)]


@pytest.mark.parametrize("monitor", ["loss", "lwlrap"])
def test_the_best_epoch_is_the_first_of_the_best(monitor):
    assert best_epoch([], monitor) == 0
    assert best_epoch(rows_of(0.5, 0.25, 0.25, 0.75), monitor) == 2


@pytest.mark.parametrize("monitor", ["loss", "lwlrap"])
def test_patience(monitor):
    asked = recipe(monitor=monitor, patience=2, epochs=5)
    assert not is_over([], asked)
    assert not is_over(rows_of(0.5), asked)
    assert not is_over(rows_of(0.5, 0.75), asked)
    assert is_over(rows_of(0.5, 0.75, 0.5), asked)
    assert not is_over(rows_of(0.5, 0.75, 0.25, 0.3), asked)
    assert is_over(rows_of(0.5, 0.4, 0.3, 0.2, 0.1), asked)


def test_early_stopping_keeps_the_best_model(world, train):
    # Steps that large overshoot: the loss is best early on.
    assert train("--fold", 0, "--epochs", 20, "--patience", 2, "--learning-rate", 30).code == 0
    folder = world.runs / "mfcc" / "folds/0"
    rows = read_history(folder)
    assert len(rows) < 20
    best = min(rows, key=lambda row: row["val_loss"])
    assert len(rows) == best["epoch"] + 2
    oof = load(folder / "oof.npz", made_by="train")
    assert lwlrap(world.truth_of(oof), oof.values) == pytest.approx(best["val_lwlrap"])


def test_a_training_that_diverges_stops_and_says_so(world, train):
    ended = train("--learning-rate", 1e38, "--epochs", 5)
    assert ended.code == 1
    assert "fold 0, epoch " in ended.err
    assert "training diverged: the loss became NaN or infinite" in ended.err
    assert "lower --learning-rate than 1e+38" in ended.err


def test_the_last_epoch_is_kept_if_asked_for(world, train):
    # Steps that large overshoot: the loss is best early on.
    flags = ("--fold", 0, "--epochs", 6, "--patience", 1, "--learning-rate", 30)
    ended = train(*flags, "--keep", "last")
    assert ended.code == 0, ended.err
    folder = world.runs / "mfcc" / "folds/0"
    rows = read_history(folder)
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert "last epoch 6 of 6" in ended.out
    assert ended.out.count("* last") == 1
    assert best_epoch(rows, "loss") < 6
    oof = load(folder / "oof.npz", made_by="train")
    assert rows[-1]["val_lwlrap"] == pytest.approx(lwlrap(world.truth_of(oof), oof.values))


def test_the_kept_model_has_the_averaged_weights_that_gave_the_scores(world, train):
    world.relabel(lambda x: x if len(world.frames[x.clip_id]) >= 8 else None)
    assert train("--fold", 1, "--averaging", "{kind: ema}", "--learning-rate", 1).code == 0
    folder = world.runs / "mfcc" / "folds/1"
    model = keras.saving.load_model(folder / "model.keras", safe_mode=True)
    oof = load(folder / "oof.npz", made_by="train")
    found = [model(covering(world.frames[clip_id], 8)).numpy().mean(axis=0)
             for clip_id in oof.clip_ids]
    np.testing.assert_allclose(oof.values, found, atol=1e-6)


def test_fewer_validations_change_no_weight_and_no_final_score(world, train):
    flags = ("--keep", "last", "--epochs", 4, "--fold", 0)
    train("--run", "each", *flags)
    train("--run", "some", *flags, "--validate-every", 3)
    assert world.bytes_of("some", "oof.npz") == world.bytes_of("each", "oof.npz")
    each, some = (pd.read_csv(world.runs / name / "folds/0/history.csv")
                  for name in ("each", "some"))
    assert some["val_loss"].isna().tolist() == [True, True, False, False]
    pd.testing.assert_frame_equal(some.dropna(), each[2:])
    assert some["loss"].tolist() == each["loss"].tolist()


@pytest.mark.parametrize(("flags", "named"), [
    (("--keep", "best"), "--keep best"),
    (("--keep", "last", "--schedule.kind", "plateau"), "--schedule.kind plateau"),
])
def test_a_choice_by_validation_needs_one_after_every_epoch(world, train, flags, named):
    ended = train("--validate-every", 2, *flags)
    assert ended.code == 2
    assert ended.err == (f"train: --validate-every 2 contradicts {named}, which needs a validation "
                         "after every epoch\n")
    assert not world.runs.exists()


def test_snapshots_score_as_the_mean_of_trainings_that_end_where_they_were_taken(
    world, train, call_stage
):
    # The first cycle of two is a training of half the epochs; the second one ends with the run.
    flags = ("--fold", 0, "--keep", "last", "--learning-rate", 0.5)
    two = "{kind: cosine, cycles: 2}"
    runs = {
        "first": ("--epochs", 2, "--schedule", "{kind: cosine}"),
        "second": ("--epochs", 4, "--schedule", two),
        "both": ("--epochs", 4, "--schedule", two, "--averaging", "{kind: snapshots, last: 2}"),
    }
    for name, own in runs.items():
        ended = train("--run", name, *flags, *own)
        assert ended.code == 0, ended.err
        ended = call_stage("predict", *world.where, "--run", name)
        assert ended.code == 0, ended.err
    for file in ("folds/0/oof.npz", "test/0.npz"):
        first, second, both = (load(world.runs / name / file, made_by="train") for name in runs)
        np.testing.assert_allclose(both.values, (first.values + second.values) / 2, atol=1e-5)
        assert np.abs(first.values - second.values).max() > 1e-3
    oof = load(world.runs / "both/folds/0/oof.npz", made_by="train")
    second, both = (read_history(world.runs / name / "folds/0") for name in ("second", "both"))
    assert both[:-1] == second[:-1]  # of the network as it is
    assert both[-1]["val_lwlrap"] == pytest.approx(lwlrap(world.truth_of(oof), oof.values))
    assert both[-1]["val_loss"] != second[-1]["val_loss"]

    ended = train("--run", "next", "--fold", 0, "--start-from", "both")
    assert (ended.code, "its averaging is snapshots" in ended.err) == (2, True)
    assert not (world.runs / "next").exists()
