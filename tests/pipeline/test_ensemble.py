import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import gmean

from pipeline import ensemble
from pipeline.audio.file_header import Header
from pipeline.dataset.tables import (
    Clip,
    Dataset,
    Label,
    write_clips,
    write_dataset,
    write_labels,
)
from pipeline.ensembling.means import (
    FLOOR,
    MEANS,
    arithmetic_mean,
    combine,
    combine_tests,
    geometric_mean,
    mean_over_folds,
    plain_mean,
    rank_mean,
)
from pipeline.runs.folder import RunFolder
from pipeline.runs.scores import Scores, load, save
from pipeline.runtime.choices import EnsembleMethod
from pipeline.runtime.errors import UsageError
from pipeline.scoring.metrics import lwlrap

ROOT = Path(__file__).parents[2]
CLASSES = ("Bark", "Rain", "Thunder", "Zither")

probabilities = st.floats(0, 1, width=32)
stacks = st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 6)).flatmap(
    lambda shape: st.tuples(
        hnp.arrays(np.float32, shape, elements=probabilities),
        st.lists(st.floats(0.01, 10), min_size=shape[0], max_size=shape[0]),
    )
)


def of(*rows, clips="ab", classes=CLASSES):
    values = np.array(rows, np.float32)
    return Scores(tuple(clips[: len(rows)]), tuple(classes[: values.shape[1]]), values)


# ---- means, closed form


def test_means_of_two_by_hand():
    one, two = np.array([[0.1, 0.9, 0.4]]), np.array([[0.4, 0.4, 0.4]])
    np.testing.assert_allclose(geometric_mean([one, two], [1, 1]), [[0.2, 0.6, 0.4]])
    np.testing.assert_allclose(arithmetic_mean([one, two], [1, 1]), [[0.25, 0.65, 0.4]])
    # Ranks 0, 1, 0.5; then three tied classes with the mean of 0, 0.5 and 1.
    np.testing.assert_allclose(rank_mean([one, two], [1, 1]), [[0.25, 0.75, 0.5]])


def test_weights_by_hand():
    one, two = np.array([[0.1, 0.4]]), np.array([[0.8, 0.05]])
    np.testing.assert_allclose(geometric_mean([one, two], [2, 1]), [[0.2, 0.2]])  # (.1 .1 .8)^(1/3)
    np.testing.assert_allclose(arithmetic_mean([one, two], [3, 1]), [[0.275, 0.3125]])
    np.testing.assert_allclose(rank_mean([one, two], [3, 1]), [[0.25, 0.75]])
    np.testing.assert_allclose(geometric_mean([one, two], [0, 5]), two)


def test_a_zero_everywhere_stays_zero_and_a_zero_somewhere_vetoes_nothing():
    one = np.array([[0.0, 0.0, 0.0, 0.5]])
    two = np.array([[0.0, 0.2, 0.8, 0.5]])
    result = geometric_mean([one, two], [1, 1])[0]
    assert result[0] == 0
    np.testing.assert_allclose(result[1:], [np.sqrt(FLOOR * 0.2), np.sqrt(FLOOR * 0.8), 0.5])
    assert result[1] < result[2]
    # float32 holds these, so the order survives being stored.
    assert 0 < np.float32(result[1]) < np.float32(result[2])


def test_one_class_has_a_rank():
    assert rank_mean([np.array([[0.3], [0.7]])], [1]).tolist() == [[1], [1]]


# ---- means, against scipy and as properties


@given(stacks)
def test_the_geometric_mean_is_scipys_where_nothing_is_zero(drawn):
    members, weights = drawn
    members = np.maximum(members, 1e-6)
    expected = gmean(members.astype(float), axis=0, weights=np.reshape(weights, (-1, 1, 1)))
    np.testing.assert_allclose(geometric_mean(list(members), weights), expected, rtol=1e-9)


@given(stacks, st.sampled_from(sorted(MEANS)))
def test_a_mean_is_finite_within_bounds_and_blind_to_the_order_of_members(drawn, method):
    members, weights = drawn[0].astype(np.float64), drawn[1]
    result = MEANS[method](list(members), weights)
    assert np.isfinite(result).all()
    if method == "rank":
        low, high = np.zeros_like(result), np.ones_like(result)
    else:
        low, high = members.min(axis=0), members.max(axis=0)
    # Rounding of a logarithm down to -103, and back.
    assert (result >= low * (1 - 1e-12)).all()
    assert (result <= high * (1 + 1e-12)).all()
    backwards = MEANS[method](list(members[::-1]), weights[::-1])
    np.testing.assert_allclose(backwards, result, rtol=1e-10)
    tripled = MEANS[method](list(members), [3 * w for w in weights])
    np.testing.assert_allclose(tripled, result, rtol=1e-10)


@given(stacks)
def test_a_mean_of_equals_is_what_they_are(drawn):
    members, weights = drawn[0].astype(np.float64), drawn[1]
    same = [members[0]] * len(weights)
    np.testing.assert_allclose(geometric_mean(same, weights), members[0], rtol=1e-12)
    np.testing.assert_allclose(arithmetic_mean(same, weights), members[0], rtol=1e-12)
    np.testing.assert_allclose(rank_mean(same, weights), rank_mean(same[:1], [1]), rtol=1e-12)


@given(stacks)
def test_ranks_are_deaf_to_calibration(drawn):
    # Rounded, for of two float32 close to each other the exponential makes a tie.
    members, weights = np.round(drawn[0].astype(np.float64), 3), drawn[1]
    warped = [np.exp2(m * (k + 1)) - 3 for k, m in enumerate(members)]
    np.testing.assert_array_equal(rank_mean(warped, weights), rank_mean(list(members), weights))


# ---- scores


def test_combine_goes_by_names_not_by_position():
    one = of([0.1, 0.9], [0.5, 0.5])
    two = Scores(("b", "a"), ("Rain", "Bark"), np.array([[0.1, 0.2], [0.4, 0.8]], np.float32))
    result = combine("arithmetic", [("one", one), ("two", two)], [1, 1], single=False)
    assert (result.clip_ids, result.classes) == (("a", "b"), ("Bark", "Rain"))
    np.testing.assert_allclose(result.values, [[0.45, 0.65], [0.35, 0.3]], rtol=1e-6)


def test_with_one_label_a_clip_a_geometric_mean_is_a_distribution_again():
    named = [("one", of([0.9, 0.1], [0, 0])), ("two", of([0.1, 0.9], [0, 0]))]
    multi = combine("geometric", named, [1, 1], single=False)
    np.testing.assert_allclose(multi.values, [[0.3, 0.3], [0, 0]], rtol=1e-6)
    single = combine("geometric", named, [1, 1], single=True)
    np.testing.assert_allclose(single.values, [[0.5, 0.5], [0, 0]], rtol=1e-6)


def test_scores_below_zero_have_no_geometric_mean():
    named = [("good", of([0.5])), ("stacked", of([-0.1]))]
    with pytest.raises(UsageError, match=r"no geometric mean: stacked\. .*rank or arithmetic"):
        combine("geometric", named, [1, 1], single=False)
    assert plain_mean(named, single=False)[0] == "rank"
    assert plain_mean(named[:1], single=False)[0] == "geometric"


def test_a_run_weighs_the_same_however_many_folds_it_has():
    many, one = [of([0.2]), of([0.4]), of([0.3])], [of([0.9])]
    result = combine_tests("arithmetic", [("many", many), ("one", one)], [1, 2], single=False)
    np.testing.assert_allclose(result.values, [[(0.3 + 2 * 0.9) / 3]], rtol=1e-6)
    assert mean_over_folds("one", one, single=False) is one[0]
    three = mean_over_folds("many", many, single=False)
    np.testing.assert_allclose(three.values, [[0.024 ** (1 / 3)]], rtol=1e-6)


# ---- the stage

N_CURATED, N_TEST, FOLDS = 60, 12, 3
TESTS = tuple(f"t{i:02}" for i in range(N_TEST))


@pytest.fixture
def made_up(tmp_path):
    """prepared/ and runs/ with runs good, fair (other order), and the truth."""
    rng = np.random.default_rng(0)
    truth = rng.random((N_CURATED, len(CLASSES))) < 0.4
    truth[~truth.any(axis=1), 0] = True
    clips = [f"c{k:02}" for k in range(N_CURATED)]
    prepared = tmp_path / "prepared"
    prepared.mkdir()
    write_dataset(prepared, Dataset(tmp_path, "fsdkaggle2019", CLASSES, "multi"))
    write_labels(prepared, [
        Label(c, tuple(np.array(CLASSES)[row].tolist()), "curated", k % FOLDS, "")
        for k, (c, row) in enumerate(zip(clips, truth, strict=True))
    ])
    write_lengths(prepared, [*clips, *TESTS])
    for run, spread in (("good", 0.9), ("fair", 1.5)):
        values = 1 / (1 + np.exp(-(truth * 2 - 1 + rng.normal(0, spread, truth.shape))))
        order = rng.permutation(N_CURATED) if run == "fair" else np.arange(N_CURATED)
        for k in range(FOLDS):
            rows = [i for i in order if i % FOLDS == k]
            oof = Scores(tuple(clips[i] for i in rows), CLASSES, values[rows].astype(np.float32))
            save(tmp_path / "runs" / run / f"folds/{k}" / "oof.npz", oof)
            test = rng.random((N_TEST, len(CLASSES)), dtype=np.float32)
            save(tmp_path / "runs" / run / "test" / f"{k}.npz", Scores(TESTS, CLASSES, test))
        facts(tmp_path / "runs" / run)
    return tmp_path


def write_lengths(prepared, clips):
    write_clips(prepared, [Clip(c, f"audio/{c}", Header("WAV", "PCM_16", 44100, 1, 22050 + 441 * k))
                           for k, c in enumerate(clips)])


def facts(folder, **changed):
    content = {"classes": CLASSES, "label_mode": "multi", "folds": list(range(FOLDS)), **changed}
    (folder / "run.json").write_text(json.dumps(content))


def settings(root, *runs, method="geometric", weights=(), name="ensemble"):
    return ensemble.Settings(runs_dir=root / "runs", runs=runs or ("good", "fair"), name=name,
                             method=method, weights=weights, data=root / "prepared", seed=0)


def command(root, *flags):
    return subprocess.run(
        [sys.executable, "-m", "pipeline.ensemble", "--runs-dir", root / "runs",
         "--data", root / "prepared", *flags],
        cwd=ROOT, capture_output=True, text=True,
    )


@pytest.mark.parametrize("method", ["geometric", "blend", "stack", "boost"])
def test_the_command_makes_a_run_and_says_what_it_is_worth(made_up, method):
    done = command(made_up, "--runs", "good", "fair", "--method", method, "--name", "both")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"lwlrap of 60 clips\n  good +[01]\.\d{4}\n  fair +[01]\.\d{4}\n"
                     r"  \(plain geometric mean\) +[01]\.\d{4}\n  both +[01]\.\d{4}\n", done.stdout)
    rival = "good alone" if method == "geometric" else "the plain geometric mean"
    assert ("weights that the blend chose" in done.stdout) == (method == "blend")
    assert re.search(rf"both \({method}\) over {rival}: [+-]0\.\d{{4}} \(95 % interval",
                     done.stdout)
    oof, tests = RunFolder(made_up / "runs", "both").load()
    assert oof.values.shape == (N_CURATED, len(CLASSES))
    assert [t.values.shape for t in tests] == [(N_TEST, len(CLASSES))]
    result = json.loads((made_up / "runs" / "both" / "run.json").read_text())
    assert result["kind"] == "ensemble"
    assert (result["method"], result["members"], result["classes"]) == (method, ["good", "fair"],
                                                               list(CLASSES))


@pytest.mark.parametrize("method", get_args(EnsembleMethod))
def test_the_same_runs_give_the_same_bytes(made_up, method):
    kept = []
    for name in ("one", "one", "two"):
        ensemble.run(settings(made_up, method=method, name=name))
        kept.append({p.name: p.read_bytes() for p in (made_up / "runs" / name).iterdir()})
    assert kept[0] == kept[1] == kept[2]
    assert set(kept[0]) == {"run.json", "oof.npz", "test.npz"}


def test_out_of_fold_and_test_follow_the_same_rule(made_up):
    runs = made_up / "runs"
    ensemble.run(settings(made_up, method="arithmetic", weights=(3.0, 1.0)))
    oof, (test,) = RunFolder(runs, "ensemble").load()
    by_run = [RunFolder(runs, name).load() for name in ("good", "fair")]
    good, fair = (dict(zip(o.clip_ids, o.values, strict=True)) for o, _ in by_run)
    expected = [0.75 * good[c] + 0.25 * fair[c] for c in oof.clip_ids]
    np.testing.assert_allclose(oof.values, expected, rtol=1e-6)
    means = [np.mean([t.values for t in tests], axis=0) for _, tests in by_run]
    np.testing.assert_allclose(test.values, 0.75 * means[0] + 0.25 * means[1], rtol=1e-6)


def test_an_ensemble_can_be_a_member_a_stacked_one_by_rank(made_up, capsys):
    ensemble.run(settings(made_up, method="stack", name="stacked"))
    assert (load(made_up / "runs/stacked/oof.npz", made_by="").values < 0).any()
    ensemble.run(settings(made_up, "stacked", "good", method="rank", name="nested"))
    assert "plain rank mean" in capsys.readouterr().out
    with pytest.raises(UsageError, match="no geometric mean: stacked"):
        ensemble.run(settings(made_up, "stacked", "good"))


def test_without_test_scores_there_is_an_ensemble_without(made_up, capsys):
    ensemble.run(settings(made_up))
    for path in (made_up / "runs").glob("*/test/*.npz"):
        path.unlink()
    ensemble.run(settings(made_up))
    assert "without test scores: the runs have none" in capsys.readouterr().out
    assert not (made_up / "runs/ensemble/test.npz").exists()  # nor that of the time before


def test_everything_wrong_with_the_flags_is_listed(made_up):
    done = command(made_up, "--runs", "good", "good", "god", "--weights", "1", "--name", "fair")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    for part in ("only once", "1 weights for 3 runs", "did you mean good?",
                 "--name fair is a trained run"):
        assert part in done.stderr


@pytest.mark.parametrize(("changed", "message"), [
    ({"method": "stack", "weights": (1.0, 1.0)}, "finds its own weights"),
    ({"method": "blend", "weights": (1.0, 1.0)}, "finds its own weights"),
    ({"method": "boost", "weights": (1.0, 1.0)}, "finds its own weights"),
    ({"weights": (0.0, 0.0)}, "all 0, or infinite"),
    ({"weights": (np.inf, 1.0)}, "all 0, or infinite"),
    ({"name": "good"}, "is one of the runs"),
    ({"name": "../out"}, "not a path"),
    ({"name": ""}, "not a path"),
    ({"name": ".."}, "not a path"),
])
def test_settings_that_cannot_be(made_up, changed, message):
    with pytest.raises(UsageError, match=message):
        ensemble.run(settings(made_up, **changed))
    assert not (made_up / "runs" / "ensemble").exists()


def test_no_runs(made_up):
    empty = ensemble.Settings(runs_dir=made_up / "runs", runs=(), name="e", method="rank",
                              weights=(), data=made_up / "prepared", seed=0)
    with pytest.raises(UsageError, match="no runs to combine"):
        ensemble.run(empty)


def test_the_runs_of_a_recipe_have_to_be_trained(made_up):
    path = made_up / "recipe.yaml"
    path.write_text("runs: {good: {features: mfcc}, better: {features: mfcc}}")
    done = command(made_up, "--params", path)
    assert done.returncode == 2
    assert f"not trained yet, of the runs in {path}: better. Train them" in done.stderr


def test_runs_that_do_not_go_together(made_up):
    runs = made_up / "runs"
    facts(runs / "fair", label_mode="single")
    with pytest.raises(UsageError, match="good is multi, fair is single"):
        ensemble.run(settings(made_up))
    facts(runs / "fair")
    (runs / "fair" / "test" / "1.npz").unlink()
    with pytest.raises(UsageError, match=r"fair/test/1.npz: no such file"):
        ensemble.run(settings(made_up))
    for path in (runs / "fair").glob("test/*.npz"):
        path.unlink()
    with pytest.raises(UsageError, match=r"no test scores of fair; .*pipeline.predict"):
        ensemble.run(settings(made_up))
    facts(runs / "fair", folds=[0, 2])
    for path in (runs / "good").glob("test/*.npz"):
        path.unlink()
    with pytest.raises(UsageError, match="fair has no scores for 20 clips: c01, c04"):
        ensemble.run(settings(made_up))


def test_a_blend_records_and_prints_its_weights(made_up, capsys):
    ensemble.run(settings(made_up, method="blend"))
    record = RunFolder(made_up / "runs", "ensemble").read()
    assert sum(record.weights) == pytest.approx(1)
    shown = capsys.readouterr().out
    for name, weight in zip(record.members, record.weights, strict=True):
        assert re.search(rf"\n  {name} +{weight:.2f} \([01]\.\d\d to [01]\.\d\d\)\n", shown)


def test_boosting_depends_on_the_seed_and_on_the_lengths(made_up):
    kept, clips = [], [f"c{k:02}" for k in range(N_CURATED)]
    for seed, by_length in ((0, clips), (1, clips), (0, clips[::2] + clips[1::2])):
        write_lengths(made_up / "prepared", [*by_length, *TESTS])
        ensemble.run(replace(settings(made_up, method="boost"), seed=seed))
        kept.append((made_up / "runs/ensemble/oof.npz").read_bytes())
    assert len(set(kept)) == 3


def test_boosting_needs_the_length_of_every_clip(made_up):
    write_lengths(made_up / "prepared", ["c00", *TESTS])
    done = command(made_up, "--runs", "good", "fair", "--method", "boost")
    assert done.returncode == 2
    assert "clips.csv lacks 59 clips that have scores" in done.stderr
    (made_up / "prepared" / "clips.csv").unlink()
    done = command(made_up, "--runs", "good", "fair", "--method", "boost")
    assert done.returncode == 2
    assert "clips.csv: no such file" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (made_up / "runs" / "ensemble").exists()
    ensemble.run(settings(made_up, method="stack"))  # which needs none


def test_a_boosted_and_a_stacked_ensemble_can_be_boosted(made_up):
    ensemble.run(settings(made_up, method="stack", name="stacked"))
    ensemble.run(settings(made_up, method="boost", name="boosted"))
    ensemble.run(settings(made_up, "stacked", "boosted", "good", method="boost", name="all"))
    oof, (test,) = RunFolder(made_up / "runs", "all").load()
    assert oof.values.min() >= 0
    assert test.values.shape == (N_TEST, len(CLASSES))


def test_labels_that_changed_since(made_up):
    from pipeline.dataset.tables import read_labels

    labels = read_labels(made_up / "prepared")
    write_labels(made_up / "prepared", labels[1:])
    with pytest.raises(UsageError, match=r"no labels for 1 clips .*: c00\. .*Train the run again"):
        ensemble.run(settings(made_up))


@pytest.mark.parametrize("method", ["blend", "boost"])
def test_single_labels_that_became_several(made_up, method):
    for run in ("good", "fair"):
        facts(made_up / "runs" / run, label_mode="single")
    done = command(made_up, "--runs", "good", "fair", "--method", method)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert re.fullmatch(r"ensemble: the runs predict one label per clip, and labels.csv has "
                        r"another number of labels for \d+ clips: c\d\d, .*\. Train the runs "
                        r"again\n", done.stderr)


def test_the_printed_lwlrap_is_that_of_the_scores(made_up, capsys):
    from pipeline.dataset.tables import read_labels

    ensemble.run(settings(made_up, method="stack"))
    labels = {x.clip_id: x.labels for x in read_labels(made_up / "prepared")}
    oof = load(made_up / "runs/ensemble/oof.npz", made_by="")
    truth = [[c in labels[clip] for c in CLASSES] for clip in oof.clip_ids]
    assert f"ensemble                {lwlrap(truth, oof.values):.4f}" in capsys.readouterr().out
