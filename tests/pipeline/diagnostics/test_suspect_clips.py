import numpy as np
import pytest

from pipeline.diagnostics.reported_runs import default_runs, read_run
from pipeline.diagnostics.suspect_clips import search_labels
from pipeline.ensembling.means import combine_tests
from pipeline.runs.folder import RunFolder, RunRecord
from pipeline.runs.scores import Scores


def read(data, name):
    return read_run(RunFolder(data.root / "runs", name), data.labels, seed=0, resamples=20)


def add_ensemble(data, members, *, name="ensemble", method="geometric", values=None):
    folders = [RunFolder(data.root / "runs", member) for member in members]
    oof = folders[0].load()[0]
    if values is not None:
        oof = Scores(oof.clip_ids, oof.classes, oof.values + np.float32(values))
    RunFolder(data.root / "runs", name).write_ensemble(RunRecord(
        name, "ensemble", data.label_mode, data.classes, method=method, members=tuple(members),
        made_of=dict.fromkeys(members, ""),
    ), oof, None)


@pytest.mark.parametrize("label_mode", ["multi", "single"])
def test_wrong_noisy_labels_are_ranked_first(scored_data, label_mode):
    data = scored_data(label_mode=label_mode).add_run("mfcc", strength=4)
    result = search_labels(read(data, "mfcc"), data.labels)
    assert result.notes == []
    curated, noisy = result.found
    assert (curated.split, noisy.split) == ("curated", "noisy")
    assert set(noisy.scores.clip_ids) == set(data.of("noisy"))
    bad = [(noisy.truth[k] != data.heard[noisy.scores.clip_ids[k]]).any()
           for k in noisy.errors.ranked]
    assert np.mean(bad[:5]) >= 0.8


@pytest.mark.parametrize(("facts", "files", "message"), [
    ({}, False, "no scores of the noisy clips. `python -m pipeline.predict --run mfcc --noisy`"),
    ({"settings": {"noisy": True}}, True, "was trained on the noisy clips"),
])
def test_without_honest_scores_the_noisy_clips_are_left_alone(scored_data, facts, files, message):
    data = scored_data().add_run("mfcc", noisy=files, **facts)
    result = search_labels(read(data, "mfcc"), data.labels)
    assert [each.split for each in result.found] == ["curated"]
    assert len(result.notes) == 1
    assert message in result.notes[0]


def test_a_data_set_without_noisy_clips_misses_nothing(scored_data):
    data = scored_data(n_noisy=0).add_run("mfcc", noisy=False)
    result = search_labels(read(data, "mfcc"), data.labels)
    assert [each.split for each in result.found] == ["curated"]
    assert result.notes == []


def test_an_ensemble_combines_its_members_noisy_scores(scored_data):
    data = scored_data().add_run("mfcc").add_run("logmel", seed=1)
    add_ensemble(data, ["mfcc", "logmel"])
    result = search_labels(read(data, "ensemble"), data.labels)
    members = [(name, RunFolder(data.root / "runs", name).load_noisy())
               for name in ("mfcc", "logmel")]
    expected = combine_tests("geometric", members, [1, 1], single=False)
    np.testing.assert_allclose(result.found[1].scores.values, expected.values, rtol=1e-5)
    assert result.notes == []


def test_an_ensemble_of_a_run_without_noisy_scores_says_which(scored_data):
    data = scored_data().add_run("mfcc").add_run("logmel", noisy=False)
    add_ensemble(data, ["mfcc", "logmel"])
    result = search_labels(read(data, "ensemble"), data.labels)
    assert [each.split for each in result.found] == ["curated"]
    assert "--run logmel" in result.notes[0]


def test_scores_that_are_no_probabilities_are_replaced(scored_data):
    data = scored_data().add_run("mfcc").add_run("logmel", seed=1)
    add_ensemble(data, ["mfcc", "logmel"], method="stack", values=2)
    result = search_labels(read(data, "ensemble"), data.labels)
    assert "geometric mean of mfcc, logmel" in result.notes[0]
    assert [each.split for each in result.found] == ["curated", "noisy"]
    assert result.found[0].scores.values.max() <= 1


def test_what_an_ensemble_learned_cannot_score_noisy_clips(scored_data):
    data = scored_data().add_run("mfcc").add_run("logmel", seed=1).add_run("wave", seed=2)
    add_ensemble(data, ["mfcc", "logmel"], method="boost")
    add_ensemble(data, ["ensemble", "wave"], name="nested")
    members = [(name, RunFolder(data.root / "runs", name).load_noisy())
               for name in ("mfcc", "logmel", "wave")]
    plain = combine_tests("geometric", members[:2], [1, 1], single=False)
    for name, noisy in (
        ("ensemble", plain),
        ("nested", combine_tests("geometric", [("ensemble", [plain]), members[2]], [1, 1],
                                 single=False)),
    ):
        result = search_labels(read(data, name), data.labels)
        assert [each.split for each in result.found] == ["curated", "noisy"]
        np.testing.assert_allclose(result.found[1].scores.values, noisy.values, rtol=1e-5)
        assert result.notes == ["What ensemble learned by boost is not on record, so the noisy "
                                "clips were checked with the geometric mean of mfcc, logmel."]


def test_the_default_is_the_ensemble_and_its_members(scored_data):
    data = scored_data().add_run("mfcc").add_run("logmel").add_run("other")
    runs = data.root / "runs"
    assert default_runs(runs, "ensemble", ["other", "mfcc", "gone"]) == ("other", "mfcc")
    add_ensemble(data, ["mfcc", "logmel"])
    assert default_runs(runs, "ensemble", ["other"]) == ("ensemble", "mfcc", "logmel")
