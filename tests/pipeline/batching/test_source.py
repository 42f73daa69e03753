import numpy as np
import pytest

from pipeline.batching.source import open_source
from pipeline.runtime.errors import StoreError
from pipeline.store import open_store, write_store
from pipeline.store.schema import FeatureSpec, row_bytes

SPEC = FeatureSpec("waveform", 1, "int16", 0, "full scale", {"sr": 8000})
CLIPS = {name: np.arange(n, dtype=np.int16) for name, n in (("a", 5), ("b", 1), ("c", 9))}


@pytest.fixture
def path(tmp_path):
    return write_store(tmp_path / "waveform.h5", SPEC, CLIPS)


def open_clips(path, ids, budget):
    return open_source(open_store(path), ids, n_frames=4, pad="repeat", budget=budget)


@pytest.mark.parametrize("budget", [1 << 20, 0])
@pytest.mark.parametrize("where", ["frames", "moments/mean", "sound"])
def test_damaged_clips_are_refused_and_named(path, budget, where):
    offsets = open_store(path).offsets
    with open(path, "r+b") as file:
        for i, start in ((0, 0), (2, 6)):
            at = (offsets.frames + 2 * start if where == "frames"
                  else offsets.tables[where] + i * row_bytes(where, SPEC))
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 1]))
    with pytest.raises(StoreError, match="2 clips do not have their checksums: a, c") as caught:
        open_clips(path, ["c", "b", "a"], budget)
    assert str(path) in str(caught.value)
    # Those that are not asked for are nobody's business.
    assert open_clips(path, ["b"], budget).length.tolist() == [1]


@pytest.mark.parametrize("budget", [1 << 20, 0])
def test_clips_are_read_in_the_order_that_is_asked_for(path, budget):
    source = open_clips(path, ["c", "a"], budget)
    assert source.in_memory == bool(budget)
    for i, name in enumerate("ca"):
        first = source.start[i]
        np.testing.assert_array_equal(source.frames[first:first + source.length[i]], CLIPS[name])
