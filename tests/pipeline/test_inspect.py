import errno
import os
import subprocess
from pathlib import Path

import h5py
import matplotlib.image
import numpy as np
import pytest

from pipeline.store.from_arrays import write_store
from pipeline.store.partial import PartialStore
from pipeline.store.reader import open_store
from pipeline.store.schema import Contents, FeatureSpec

NAMES = ("a.wav", "b.wav", "dir/c.wav", "$x_$.wav", "日本 “ü”.wav", "one sample.wav")


@pytest.fixture(scope="module")
def data(make_data_set, tone):
    data = make_data_set()
    for i, name in enumerate(NAMES[:-1]):
        data.write(name, tone(0.2 + 0.1 * i, seed=i))
    data.write(NAMES[-1], np.full(1, 0.5))
    data.prepare()
    (data.audio / "bad.wav").write_bytes((data.audio / "a.wav").read_bytes())
    data.prepare()
    (data.audio / "bad.wav").write_bytes(b"<html>")
    return data


@pytest.fixture(scope="module")
def stores(data, extract):
    """A folder of stores from which one clip was left out."""
    assert extract(data, data.root / "stores", "--allow-failures", 1).code == 0
    return data.root / "stores"


@pytest.fixture
def copy(stores, tmp_path):
    """A copy of a store that a test may damage."""
    def make(name):
        (tmp_path / name).write_bytes((stores / name).read_bytes())
        return tmp_path / name

    return make


def test_what_a_store_holds(stores, call_stage):
    store = open_store(stores / "mfcc.h5")
    ended = call_stage("inspect", stores / "mfcc.h5")
    assert (ended.code, ended.err) == (0, "")
    mean, std = store.mean_std()
    for said in (
        "mfcc, version 2, float32, in dB", "n_mfcc=40", "hop_length=512", store.spec.fingerprint,
        "  clips       6, 2 s, 0.01 to 0.60 s", f"{store.length.sum()} of 40 values",
        "every 11.6 ms", "left out    1 bad clips:", "bad.wav: not-audio",
        f"means       {mean.min():.4g} (value {mean.argmin()}) to {mean.max():.4g} "
        f"(value {mean.argmax()}), standard deviations {std.mean():.4g} on average",
    ):
        assert said in ended.out
    assert f"{std[20]:.4g}" not in ended.out
    assert len(ended.out.splitlines()) < 15


def test_bands_lists_the_statistics_of_every_value(stores, call_stage):
    mean, std = open_store(stores / "logmel.h5").mean_std()
    ended = call_stage("inspect", stores / "logmel.h5", "--bands")
    assert (ended.code, ended.err) == (0, "")
    for i in range(128):
        assert f"{i:4d} {mean[i]:9.4g} ± {std[i]:<8.4g}" in ended.out


def test_a_waveform_has_one_mean(stores, call_stage):
    (mean,), (std,) = open_store(stores / "waveform.h5").mean_std()
    for flags in ((), ("--bands",)):
        ended = call_stage("inspect", stores / "waveform.h5", *flags)
        assert f"  mean        {mean:.4g} ± {std:.4g} (standard deviation)\n" in ended.out


def test_every_store_verifies(stores, run_stage):
    paths = sorted(stores.glob("*.h5"))
    ended = run_stage("inspect", *paths, "--verify")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.count("verified    6 clips, 0 mismatches") == 3


def flip(path, at):
    with open(path, "r+b") as file:
        byte = os.pread(file.fileno(), 1, at)[0]
        os.pwrite(file.fileno(), bytes([byte ^ 1]), at)


@pytest.mark.parametrize("where", ["frames", "moments/mean", "sound", "row_crc32"])
def test_a_flipped_byte_is_found_and_its_clip_named(copy, run_stage, where):
    path = copy("logmel.h5")
    store = open_store(path)
    i = store.index_of("b.wav")
    if where == "frames":
        at = store.offsets.frames + int(store.start[i]) * store.spec.frame_bytes + 5
    else:
        at = store.offsets.tables[where] + {"moments/mean": 8 * 128, "sound": 16}.get(where, 4) * i
    flip(path, at)
    ended = run_stage("inspect", path, "--verify")
    assert ended.code == 4
    assert "b.wav: " in ended.err
    assert "a.wav" not in ended.err
    assert "1 mismatches" in ended.err
    advice = f"again with: python -m pipeline.extract --repair --out {path.parent}\n"
    assert ended.err.endswith(advice)
    assert "Traceback" not in ended.err


def test_a_flipped_byte_in_an_id_is_found(copy, run_stage):
    path = copy("mfcc.h5")
    with h5py.File(path) as file:
        at = file["clip_id"].id.get_offset()
    flip(path, at)
    ended = run_stage("inspect", path, "--verify")
    assert ended.code == 4
    assert "clip ids or lengths are not those that were written" in ended.err


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "other"])
def test_what_is_no_store(copy, run_stage, damage):
    path = copy("waveform.h5")
    if damage == "cut":
        os.truncate(path, path.stat().st_size - 1)
    elif damage == "other":
        with h5py.File(path, "w") as file:
            file["x"] = 1
    else:
        path.write_text("clip,frames\n" if damage == "text" else "")
    ended = run_stage("inspect", path)
    assert ended.code == 4
    assert str(path) in ended.err
    assert "Traceback" not in ended.err


def test_a_missing_store_is_a_mistake_of_usage(stores, run_stage):
    ended = run_stage("inspect", "nowhere.h5")
    assert ended.code == 2
    assert "nowhere.h5: no such store" in ended.err
    assert "Traceback" not in ended.err


def test_the_other_stores_are_shown_all_the_same(stores, copy, run_stage):
    bad = copy("mfcc.h5")
    bad.write_text("nonsense")
    ended = run_stage("inspect", "nowhere.h5", bad, stores / "waveform.h5", "--verify")
    assert ended.code == 4
    assert "nowhere.h5: no such store" in ended.err
    assert "waveform, version 2" in ended.out
    assert "0 mismatches" in ended.out


def test_a_store_of_no_clips_or_of_an_unknown_kind(stores, call_stage, tmp_path):
    spec = FeatureSpec("mfcc", 1, "float32", 3, "dB", open_store(stores / "mfcc.h5").spec.config)
    PartialStore(tmp_path, "none", spec, Contents((), ())).seal()
    write_store(tmp_path / "other.h5", FeatureSpec("chroma", 1, "float32", 1, "dB", {}),
                {"a": np.zeros((1, 1), np.float32)})
    for flags in ((), ("--verify",), ("--clip", "a.wav")):
        ended = call_stage("inspect", tmp_path / "other.h5", stores / "mfcc.h5", *flags)
        assert ended.code == 4
        assert f"{tmp_path / 'other.h5'}: a store of another version" in ended.err
        assert "mfcc" in ended.out
    ended = call_stage("inspect", tmp_path / "none.h5", "--verify")
    assert (ended.code, ended.err) == (0, "")
    assert "clips       0, without frames" in ended.out


def test_one_clip(stores, call_stage):
    store = open_store(stores / "logmel.h5")
    ended = call_stage("inspect", stores / "logmel.h5", "--clip", "b.wav")
    assert (ended.code, ended.err) == (0, "")
    first, last = store.sound[store.index_of("b.wav")]
    frames = store["b.wav"]
    for said in (f"frames      {len(frames)}, ", f"frames {first} to {last}",
                 f"{frames.min():.4g} to {frames.max():.4g} dB",
                 store.digests[store.index_of("b.wav")]):
        assert said in ended.out
    assert "a.wav" not in ended.out


def test_an_unknown_clip_is_told_the_known_ones(stores, run_stage):
    ended = run_stage("inspect", stores / "logmel.h5", "--clip", "nobody.wav")
    assert ended.code == 2
    assert "no clip 'nobody.wav'; it has 6: " in ended.err
    assert "a.wav" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("feature", ["waveform", "mfcc", "logmel"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore:Glyph")
def test_a_clip_is_drawn(stores, call_stage, tmp_path, feature, name):
    """Names that matplotlib would take for mathematics, and clips of one sample, among them."""
    path = tmp_path / "clip.png"
    ended = call_stage("inspect", stores / f"{feature}.h5", "--clip", name, "--plot", path)
    assert ended.code == 0
    assert f"drawn       {path}" in ended.out
    image = matplotlib.image.imread(path)
    assert image.shape == (480, 1200, 4)
    inside = image[100:380, 200:900, :3]
    assert inside.std() > 0.001 or name == "one sample.wav", "nothing is drawn"
    assert (image[..., :3] < 0.5).any(axis=2).mean() > 0.001, "no axes, no text"


def test_frames_that_differ_are_drawn_differently(stores, call_stage, tmp_path):
    result = []
    for name in ("a.wav", "b.wav"):
        path = tmp_path / f"{name}.png"
        call_stage("inspect", stores / "logmel.h5", "--clip", name, "--plot", path)
        result.append(matplotlib.image.imread(path))
    assert np.abs(result[0] - result[1]).mean() > 0.01


@pytest.mark.parametrize(("flags", "said"), [
    (("--plot", "x.png"), "--clip"),
    (("--clip", "a.wav", "--plot", "x.jpg"), "must end in .png"),
    (("--clip", "a.wav", "--plot", "x"), "must end in .png"),
])
def test_a_plot_that_cannot_be(stores, run_stage, tmp_path, flags, said):
    ended = run_stage("inspect", stores / "mfcc.h5", *flags)
    assert ended.code == 2
    assert said in ended.err
    assert "Traceback" not in ended.err
    assert os.listdir(tmp_path) == []


def test_a_plot_has_a_panel_per_store(stores, call_stage, tmp_path):
    name, heights = next(iter(open_store(stores / "mfcc.h5"))), []
    for features in (["mfcc"], ["waveform", "mfcc", "logmel"]):
        path = tmp_path / f"{len(features)}.png"
        ended = call_stage("inspect", *(stores / f"{f}.h5" for f in features), "--clip", name,
                           "--plot", path)
        assert ended.code == 0, ended.err
        heights.append(len(matplotlib.image.imread(path)))
    assert heights[1] > 1.5 * heights[0]


def test_a_plot_that_cannot_be_written(stores, run_stage):
    ended = run_stage("inspect", stores / "mfcc.h5", "--clip", "a.wav", "--plot", "no/where.png")
    assert ended.code == 1
    assert "no/where.png: No such file or directory" in ended.err
    assert "Traceback" not in ended.err


def test_a_plot_that_fails_leaves_the_old_one(stores, call_stage, tmp_path, monkeypatch):
    path = tmp_path / "clip.png"
    path.write_bytes(b"old")

    def full(figure, file, **options):
        Path(file).write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    with pytest.raises(OSError, match="No space left") as caught:  # the command's line
        call_stage("inspect", stores / "mfcc.h5", "--clip", "a.wav", "--plot", path)
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["clip.png"]


def test_half_a_listing_is_enough(stores, stage_command, tmp_path):
    """`inspect … | head -1`"""
    command = " ".join(stage_command("inspect", *sorted(stores.glob("*.h5")) * 40))
    done = subprocess.run(f"{command} | head -1", shell=True, capture_output=True, text=True,
                          env=stage_command.environment)
    assert done.stdout.endswith("logmel.h5\n")
    assert done.stderr == ""
