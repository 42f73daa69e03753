import contextlib
import errno
import os
import time
import zlib
from pathlib import Path

import h5py
import librosa
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from features import make_feature
from features.logmel import LogMel
from features.mfcc import Mfcc
from features.signal.silence import trim
from pipeline.extraction.targets import make_target
from pipeline.runtime.errors import StoreError, UsageError
from pipeline.store.from_arrays import write_store
from pipeline.store.reader import open_store
from pipeline.store.schema import TABLES, Excluded, row_bytes

SPECTRAL = {"sr": 44100, "n_fft": 2048, "hop_length": 512, "n_mels": 128, "fmin": 0.0,
            "fmax": None, "top_db": 80.0}
NAMES = ("Ω—ein Klang.wav", "sub/dir/b.wav", "x" * 180 + ".wav", "日本語 音.wav", "a'\"$x_$.wav")


@pytest.fixture(scope="module")
def data(make_data_set, tone):
    data = make_data_set()
    for i, name in enumerate(NAMES):
        data.write(name, tone(0.11 + 0.13 * i, seed=i))
    return data.prepare()


@pytest.fixture(scope="module")
def stores(data, extract):
    """Folders of stores at one rate: wide (float32) and narrow (int16 and float16)."""
    for name, waveform, frames in (("wide", "float32", "float32"), ("narrow", "int16", "float16")):
        ended = extract(data, data.root / name, "--sr", 44100,
                        "--features.waveform.dtype", waveform, "--features.mfcc.dtype", frames,
                        "--features.logmel.dtype", frames)
        assert ended.code == 0
    return data.root


@pytest.fixture(scope="module")
def arrays(data):
    """Every clip as libsndfile reads it."""
    return {name: soundfile.read(data.audio / name, dtype="float32")[0] for name in NAMES}


def half_ulp16(x):
    """The rounding error of float16: half the distance of its values near x."""
    return np.spacing(np.abs(x).astype(np.float16)).astype(np.float64) / 2


# Values


@pytest.mark.parametrize("kind", ["wide", "narrow"])
def test_waveforms_of_16_bit_files_come_back_exactly(stores, arrays, kind):
    store = open_store(stores / kind / "waveform.h5")
    assert store.spec.dtype == {"wide": "float32", "narrow": "int16"}[kind]
    for name, y in arrays.items():
        assert store[name].dtype == np.float32
        np.testing.assert_array_equal(store[name], y)


def test_int16_is_off_by_half_a_step_at_most(data_set, extract):
    y = np.linspace(-1, 1, 44100, dtype=np.float64).astype(np.float32)
    data_set.write("ramp.wav", y, subtype="FLOAT")
    extract(data_set.prepare(), data_set.root / "stores", "--sr", 44100, "--features", "waveform")
    back = open_store(data_set.root / "stores" / "waveform.h5")["ramp.wav"]
    # +1.0 itself has no 16-bit value: the top one is a whole step below.
    np.testing.assert_allclose(back[:-1], y[:-1], rtol=0, atol=0.5 / 32768 + 1e-9)
    assert back[-1] == 32767 / 32768


def test_samples_beyond_full_scale_are_clipped_and_counted(data_set, extract):
    y = np.array([0.5, 1.0, -1.0, 1.5, -1.5, 0.0] * 100, np.float32)
    data_set.write("loud.wav", y, subtype="FLOAT")
    data_set.prepare()
    ended = extract(data_set, data_set.root / "i", "--sr", 44100, "--features", "waveform")
    assert "200 samples of 1 clips are beyond full scale" in ended.out
    back = open_store(data_set.root / "i" / "waveform.h5")["loud.wav"]
    assert (back.min(), back.max()) == (-1, 32767 / 32768)
    ended = extract(data_set, data_set.root / "f", "--sr", 44100, "--features", "waveform",
                    "--features.waveform.dtype", "float32")
    assert "full scale" not in ended.out
    np.testing.assert_array_equal(open_store(data_set.root / "f" / "waveform.h5")["loud.wav"], y)


@pytest.mark.parametrize(("feature", "extractor"), [
    ("logmel", LogMel(**SPECTRAL)), ("mfcc", Mfcc(n_mfcc=40, **SPECTRAL)),
])
def test_frames_are_the_feature_of_the_array(stores, arrays, feature, extractor):
    wide = open_store(stores / "wide" / f"{feature}.h5")
    narrow = open_store(stores / "narrow" / f"{feature}.h5")
    for name, y in arrays.items():
        frames = extractor(y)
        assert wide[name].dtype == narrow[name].dtype == np.float32
        np.testing.assert_allclose(wide[name], frames, rtol=0, atol=1e-4)
        error = np.abs(narrow[name].astype(np.float64) - wide[name])
        assert (error <= half_ulp16(wide[name])).all()


def test_frames_are_librosas(stores, arrays):
    store = open_store(stores / "wide" / "logmel.h5")
    for name, y in arrays.items():
        power = librosa.feature.melspectrogram(y=y, sr=44100, n_fft=2048, hop_length=512)
        np.testing.assert_allclose(store[name], librosa.power_to_db(power).T, rtol=0, atol=1e-3)


@pytest.mark.parametrize("feature", ["waveform", "mfcc", "logmel"])
def test_the_sound_is_what_trim_leaves(stores, arrays, feature):
    store = open_store(stores / "wide" / f"{feature}.h5")
    hop = 1 if feature == "waveform" else 512
    trimmed = 0
    for name, y in arrays.items():
        first, last = trim(y, 60.0)
        assert (first, last) == tuple(librosa.effects.trim(y, top_db=60.0)[1])
        trimmed += 0 < first < last < len(y)
        found = store.sound[store.index_of(name)]
        np.testing.assert_array_equal(
            found, [first // hop, min(len(store[name]), -(-last // hop))]
        )
    assert trimmed, "no clip has silence at its ends"


@pytest.mark.parametrize("kind", ["wide", "narrow"])
@pytest.mark.parametrize("feature", ["waveform", "mfcc", "logmel"])
def test_moments_are_of_the_values_that_are_returned(stores, kind, feature):
    store = open_store(stores / kind / f"{feature}.h5")
    for name in NAMES:
        x = store[name].astype(np.float64).reshape(len(store[name]), -1)
        moments = store.moments([name])
        assert moments.count == len(x)
        np.testing.assert_allclose(moments.mean, x.mean(axis=0), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(moments.std, x.std(axis=0), rtol=1e-9, atol=1e-12)


@given(subset=st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
def test_the_statistics_of_any_fold_are_exact(stores, subset):
    for feature in ("waveform", "logmel"):
        store = open_store(stores / "narrow" / f"{feature}.h5")
        frames = np.concatenate([store[name] for name in subset]).astype(np.float64)
        frames = frames.reshape(len(frames), -1)
        mean, std = store.mean_std(subset)
        assert mean.dtype == std.dtype == np.float64
        np.testing.assert_allclose(mean, frames.mean(axis=0), rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(std, frames.std(axis=0), rtol=1e-9, atol=1e-12)


def test_statistics_of_all_and_of_none(stores):
    store = open_store(stores / "wide" / "mfcc.h5")
    for all_clips, named in zip(store.mean_std(), store.mean_std(NAMES), strict=True):
        np.testing.assert_allclose(all_clips, named, rtol=1e-12)
    with pytest.raises(ValueError, match="moments over no clips"):
        store.mean_std([])
    with pytest.raises(KeyError, match=r"nobody\.wav"):
        store.mean_std([NAMES[0], "nobody.wav"])


# Reading


@given(data=st.data())
def test_any_crop_is_a_slice(stores, data):
    store = open_store(stores / "wide" / "mfcc.h5")
    name = data.draw(st.sampled_from(NAMES))
    whole = store[name]
    first = data.draw(st.integers(0, len(whole)))
    n = data.draw(st.integers(0, len(whole) - first))
    np.testing.assert_array_equal(store.crop(name, first, n), whole[first:first + n])
    np.testing.assert_array_equal(store.crop(name, first), whole[first:])


def test_a_crop_beyond_the_clip_is_an_error_and_not_the_next_clip(stores):
    store = open_store(stores / "wide" / "mfcc.h5")
    n = len(store[NAMES[0]])
    for first, n_frames in ((0, n + 1), (n, 1), (-1, 1), (-2, None), (n + 1, None), (1, -1)):
        with pytest.raises(ValueError, match=f"it has {n}, from 0 to {n}"):
            store.crop(NAMES[0], first, n_frames)


def test_a_crop_is_a_copy(stores):
    store = open_store(stores / "wide" / "mfcc.h5")
    crop = store.crop(NAMES[0], 0, 2)
    crop[:] = 0
    assert store.crop(NAMES[0], 0, 2).any()
    with pytest.raises(ValueError, match="read-only"):
        store.frames[0] = 0


def test_an_unknown_clip_is_named_with_some_that_are_known(stores):
    store = open_store(stores / "wide" / "mfcc.h5")
    assert "nobody.wav" not in store
    assert NAMES[0] in store
    with pytest.raises(KeyError) as caught:
        store["nobody.wav"]
    assert "nobody.wav" in str(caught.value)
    assert "it has 5, such as" in str(caught.value)


@pytest.mark.parametrize("feature", ["waveform", "mfcc"])
def test_h5py_alone_reads_it(stores, arrays, feature):
    store = open_store(stores / "narrow" / f"{feature}.h5")
    with h5py.File(stores / "narrow" / f"{feature}.h5") as f:
        ids = f["clip_id"].asstr()[:]
        assert sorted(ids) == sorted(NAMES)
        assert ids.tolist() == sorted(NAMES, key=lambda name: name.encode())
        assert f["clip_id"].dtype.kind == f["digest"].dtype.kind == "S"
        for name in NAMES:
            i = int((ids == name).nonzero()[0][0])
            first = f["start"][i]
            y = f["frames"][first:first + f["length"][i]] * f.attrs["scale"]
            np.testing.assert_array_equal(y.astype(np.float32), store[name])
        assert f["frames"].chunks is None
        assert f["frames"].compression is None
        assert f.attrs["schema"] == "audio-feature-store"
        assert f.attrs["feature"] == feature
        assert f.attrs["fingerprint"] == store.spec.fingerprint
        assert f["excluded/clip_id"].shape == (0,)


def test_the_file_says_nothing_of_its_making(stores):
    for path in stores.rglob("*.h5"):
        content = path.read_bytes()
        for circumstance in (str(stores).encode(), b".partial", b"2.4."):
            assert circumstance not in content


def test_the_bytes_do_not_depend_on_the_time(tmp_path):
    """HDF5 would note when an object was made, to the second."""
    frames = [np.ones((3, 3), np.float32)] * 2
    one = make(tmp_path / "one.h5", frames).read_bytes()
    time.sleep(1.1)
    assert make(tmp_path / "two.h5", frames).read_bytes() == one


# Opening


def test_a_missing_store_says_how_to_make_it(tmp_path):
    with pytest.raises(UsageError, match=r"no such store.*pipeline\.extract"):
        open_store(tmp_path / "mfcc.h5")


def make(path, frames, clip_ids=("a", "b"), excluded=()):
    """A store of a feature of three values."""
    spec = make_target("mfcc", make_feature(
    "mfcc", dtype="float32", n_mfcc=3, **SPECTRAL), trim_db=60.0).spec
    return write_store(path, spec, dict(zip(clip_ids, frames, strict=True)),
                       digests=dict.fromkeys(clip_ids, "d" * 64), excluded=excluded)


@pytest.fixture
def small(tmp_path):
    rng = np.random.default_rng(0)
    frames = [rng.standard_normal((n, 3), np.float32) for n in (5, 4)]
    excluded = (Excluded("ü.wav", "non-finite", "e" * 64),)
    return make(tmp_path / "mfcc.h5", frames, excluded=excluded)


def test_what_was_left_out_is_in_the_store(small):
    store = open_store(small)
    assert store.contents.excluded == (Excluded("ü.wav", "non-finite", "e" * 64),)
    assert list(store.verify()) == []
    assert len(store) == 2


def flip(path, at, bit=1):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ bit]))


@pytest.mark.parametrize("table", ["frames", *TABLES])
def test_any_flipped_byte_of_a_clip_is_found_and_named(small, table):
    store = open_store(small)
    offsets, spec = store.offsets, store.spec
    if table == "frames":
        first, last = offsets.frames + 5 * 12, offsets.frames + 9 * 12
    else:
        n = row_bytes(table, spec)
        first, last = offsets.tables[table] + n, offsets.tables[table] + 2 * n
    for at in range(first, last):
        flip(small, at)
        try:
            found = list(open_store(small).verify())
        except StoreError as error:
            # A digest that is no UTF-8 any more.
            found = [f"{error}: b: "]
        assert found, at
        assert all(": b: " in sentence for sentence in found)
        flip(small, at)
    assert list(open_store(small).verify()) == []


def test_a_flipped_byte_in_an_id_or_a_length_is_found(small):
    with h5py.File(small) as file:
        places = {name: file[name].id.get_offset() for name in ("clip_id", "start", "length")}
    for at in places.values():
        flip(small, at)
        with contextlib.suppress(StoreError):
            assert list(open_store(small).verify())
        flip(small, at)


def test_no_flipped_byte_of_the_headers_is_taken_for_good(small):
    """HDF5's own bytes: an error, a mismatch, or nothing that changed; never another exception."""
    whole, store = small.read_bytes(), open_store(small)
    meaning = (store.spec, store.contents, store.digests, store.sound.tolist())
    rng = np.random.default_rng(0)
    refused = 0
    for at in rng.choice(store.offsets.frames, 400, replace=False):
        flip(small, int(at), 1 << rng.integers(8))
        try:
            damaged = open_store(small)
            if not list(damaged.verify()):
                assert (damaged.spec, damaged.contents, damaged.digests,
                        damaged.sound.tolist()) == meaning
                np.testing.assert_array_equal(damaged.frames, store.frames)
            else:
                refused += 1
        except StoreError:
            refused += 1
        small.write_bytes(whole)
    assert refused > 100


@pytest.mark.parametrize("libver", ["earliest", "v110", "latest"])
def test_what_follows_the_end_is_found(small, tmp_path, libver):
    """Of files of any superblock, such as those that other programs write."""
    path = tmp_path / "other.h5"
    with h5py.File(small) as file, h5py.File(path, "w", libver=(libver, "latest")) as copy:
        copy.attrs.update(file.attrs)
        for name in file:
            file.copy(name, copy)
    for each in (small, path):
        assert list(open_store(each).verify()) == []
        with open(each, "ab") as file:
            file.write(b"junk" * 1000)
        (found,) = open_store(each).verify()
        assert found == f"{each}: 4000 bytes after the store's end, which are none of its"


def test_a_failing_disk_is_an_error_and_no_signal(small, monkeypatch):
    store = open_store(small)

    def failing(*args):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "pread", failing)
    with pytest.raises(OSError, match="Input/output error") as caught:
        list(store.verify())
    assert caught.value.filename == str(small)


def test_a_store_cut_at_any_place_does_not_open(small):
    whole = small.read_bytes()
    for n in [0, 1, 7, 100, len(whole) // 2, len(whole) - 36, len(whole) - 1]:
        small.write_bytes(whole[:n])
        with pytest.raises(StoreError, match=r"mfcc\.h5"):
            open_store(small)


@pytest.mark.parametrize("content", [b"", b"clip,mfcc\n", b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_what_is_no_store_is_refused(tmp_path, content):
    path = tmp_path / "mfcc.h5"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="not a readable HDF5 file"):
        open_store(path)


def test_a_folder_or_a_pipe_is_no_store(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(UsageError, match="not a file"):
            open_store(path)


def test_a_wrong_scale_is_damage(small):
    with h5py.File(small, "r+") as file:
        file.attrs["scale"] = 2.0
    with pytest.raises(StoreError, match="scale"):
        open_store(small)


def test_a_store_iterates_over_its_clip_ids(small):
    store = open_store(small)
    assert list(store) == list(store.contents.clip_ids)


def test_an_open_store_stays_what_it_was(small, tmp_path):
    whole, store = small.read_bytes(), open_store(small)
    other = make(tmp_path / "other.h5", [np.zeros((n, 3), np.float32) for n in (50, 4)],
                 ("x" * 100, "b"))
    assert open_store(other).digest != store.digest
    os.replace(other, small)
    again = tmp_path / "again.h5"
    again.write_bytes(whole)
    for name in ("mean", "m2", "frames", "digest"):
        np.testing.assert_array_equal(getattr(store, name), getattr(open_store(again), name))
    assert list(store.verify()) == []


def test_a_store_is_closed_with_its_last_user(small):
    def n_open():
        return len(os.listdir("/proc/self/fd"))

    before = n_open()
    store = open_store(small)
    assert store["a"].any()
    assert n_open() > before
    del store
    assert n_open() == before
    small.write_bytes(b"no store")
    with pytest.raises(StoreError):
        open_store(small)
    assert n_open() == before


def test_moments_that_are_not_finite_are_no_statistics(tmp_path):
    """Earlier versions stored what float16 could not hold."""
    path = make(tmp_path / "mfcc.h5", [np.ones((3, 3), np.float32)] * 2)
    with h5py.File(path, "r+") as file:
        file["moments/m2"][1] = np.nan
    store = open_store(path)
    assert store.mean_std(["a"])[0].tolist() == [1, 1, 1]
    for clip_ids in (None, ["b"]):
        with pytest.raises(StoreError, match="NaN or infinite values in 1 clips: b"):
            store.mean_std(clip_ids)


def test_other_hdf5_files_are_refused(tmp_path):
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["frames"] = np.zeros((3, 2))
    with pytest.raises(StoreError, match="HDF5, but not a store"):
        open_store(path)


@pytest.mark.parametrize(("attribute", "value", "match"), [
    ("schema_version", 2, "schema version 2; this version reads 1"),
    ("fingerprint", "0" * 64, "the fingerprint does not fit"),
    ("config", "{", "damaged"),
    ("config", "[]", "damaged"),
    ("feature_version", 99, "the fingerprint does not fit"),
    ("feature_version", "x", "damaged"),
])
def test_an_attribute_that_is_wrong_is_an_error(small, attribute, value, match):
    with h5py.File(small, "r+") as file:
        file.attrs[attribute] = value
    with pytest.raises(StoreError, match=match):
        open_store(small)


@pytest.mark.parametrize("name", ["schema_version", "config", "fingerprint", "contents_key"])
def test_an_attribute_that_is_missing_is_an_error(small, name):
    with h5py.File(small, "r+") as file:
        del file.attrs[name]
    with pytest.raises(StoreError, match="damaged"):
        open_store(small)


@pytest.mark.parametrize("name", ["frames", "clip_id", "start", "length", "excluded", *TABLES])
def test_a_dataset_that_is_missing_is_an_error(small, name):
    with h5py.File(small, "r+") as file:
        del file[name]
    with pytest.raises(StoreError, match="damaged"):
        open_store(small)


@pytest.mark.parametrize(("name", "values"), [
    ("start", np.zeros(2, "<i8")),
    ("start", np.array([0, 5], "<f8")),
    ("length", np.array([5, 5])),
    ("length", np.array([5, 4, 0])),
    ("frames", np.zeros((9, 4), "f4")),
    ("frames", np.zeros((9, 3), "f8")),
    ("frames", np.zeros((10, 3), "f4")),
    ("crc32", np.zeros(3, "u4")),
    ("moments/mean", np.zeros((2, 2))),
    ("sound", np.zeros(2, "i8")),
])
def test_tables_that_do_not_fit_together_are_an_error(small, name, values):
    with h5py.File(small, "r+") as file:
        del file[name]
        file[name] = values
    with pytest.raises(StoreError, match="damaged"):
        open_store(small)


def test_the_checksums_are_those_of_zlib(small):
    store = open_store(small)
    for i, name in enumerate(("a", "b")):
        assert store.crc32[i] == zlib.crc32(store[name].tobytes())


def test_a_store_is_found_by_a_text_too(small):
    assert open_store(str(small)).path == Path(small)
