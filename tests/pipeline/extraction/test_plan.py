"""Plans by hand: clips that exist in tables alone, stores of made-up frames, no worker."""

import os
from pathlib import Path

import numpy as np
import pytest

from features import make_feature
from features.logmel import LogMel
from features.waveform import Waveform
from pipeline.audio.file_header import Header
from pipeline.dataset.tables import Clip
from pipeline.extraction.inputs import Inputs
from pipeline.extraction.plan import UP_TO_DATE, make_plan, plan_table
from pipeline.extraction.reuse import ReusableStores, Source, SourceStates
from pipeline.extraction.targets import make_target
from pipeline.extraction.worker import Span
from pipeline.runtime.problems import Problem
from pipeline.store import open_store, write_store
from pipeline.store.schema import TABLES, Excluded, row_bytes

WAVEFORM = make_target("waveform", make_feature("waveform", sr=4000), trim_db=60.0)
LOGMEL = make_target("logmel", make_feature(
    "logmel", dtype="float32", sr=8000, n_fft=256, hop_length=128, n_mels=8,
    fmin=0.0, fmax=None, top_db=80.0,
), trim_db=60.0)
# Samples at 8 kHz, and what they become: ceil(n / 2) samples at 4 kHz, 1 + n // 128 frames.
SAMPLES = {"a": 1000, "b": 1, "c": 255, "d": 256}
WAVES = {"a": 500, "b": 1, "c": 128, "d": 128}
FRAMES = {"a": 8, "b": 1, "c": 2, "d": 3}


def clip(clip_id, n=None):
    header = Header("WAV", "PCM_16", 8000, 1, n or SAMPLES[clip_id])
    return Clip(clip_id, f"audio/{clip_id}.wav", header)


def inputs(ids="abcd", problems=(), accepted=(), **changed):
    clips = [clip(clip_id, changed.get(clip_id)) for clip_id in ids]
    return Inputs(Path("data"), clips, list(problems), list(accepted))


def digest(clip_id):
    return clip_id * 64


def states(ids="abcd", problems=(), reported=()):
    """Source files that are as they were when the stores were made."""
    return SourceStates({c: Source(c, 100, 200, digest(c)) for c in ids}, list(problems),
                        reported={p.where: p for p in reported})


def store_of(folder, target, ids="abcd", excluded=()):
    """A sealed store of those clips."""
    lengths = WAVES if target is WAVEFORM else FRAMES
    width = (target.spec.width,) if target.spec.width else ()
    frames = {c: np.zeros((lengths[c], *width), target.spec.dtype) for c in ids}
    return open_store(write_store(folder / f"{target.name}.h5", target.spec, frames,
                                  digests={c: digest(c) for c in ids}, excluded=excluded))


NOTHING = ReusableStores(why_none="no store yet")


def plan_of(inputs, reusable, states, *, targets=(WAVEFORM, LOGMEL), allow_failures=0):
    """A plan; `reusable` is one for all targets, or one by name."""
    if isinstance(reusable, ReusableStores):
        reusable = {target.name: reusable for target in targets}
    return make_plan(inputs, targets, reusable, states, allow_failures=allow_failures)


@pytest.fixture
def sealed(tmp_path):
    """Both stores of all four clips, by name."""
    return {t.name: ReusableStores(store_of(tmp_path, t)) for t in (WAVEFORM, LOGMEL)}


def test_the_first_run_decodes_everything():
    plan = plan_of(inputs(), NOTHING, states(""))
    assert plan.decode == (0, 1, 2, 3)
    assert [(s.name, s.why, s.n_reused, s.up_to_date) for s in plan.stores] == [
        ("waveform", "no store yet", 0, False), ("logmel", "no store yet", 0, False)]
    assert plan.to_make == plan.stores
    assert (plan.n_reused, plan.excluded, plan.problems) == (0, (), ())


def test_a_task_has_a_place_in_each_store():
    plan = plan_of(inputs(), NOTHING, states(""))
    tasks = [plan.task(i, plan.to_make) for i in plan.decode]
    assert [(t.index, t.clip_id, t.path) for t in tasks] == [
        (i, c, Path(f"data/audio/{c}.wav")) for i, c in enumerate("abcd")]
    assert [t.header.frames for t in tasks] == list(SAMPLES.values())
    for name, lengths in (("waveform", WAVES), ("logmel", FRAMES)):
        n = list(lengths.values())
        assert [t.spans[name] for t in tasks] == [Span(sum(n[:i]), n[i]) for i in range(4)]
    assert plan.task(2, plan.stores[1:]).spans == {"logmel": Span(9, 2)}


def test_the_numbers_of_frames_are_those_that_features_return():
    plan = plan_of(inputs(), NOTHING, states(""))
    for i, n in enumerate(SAMPLES.values()):
        spans = plan.task(i, plan.stores).spans
        assert spans["logmel"].n_frames == len(LogMel(sr=8000, n_fft=256, hop_length=128,
                                                      n_mels=8)(np.zeros(n, np.float32)))
        y = np.zeros(-(-n // 2), np.float32)
        assert spans["waveform"].n_frames == len(Waveform(sr=4000)(y))


def test_the_bytes_of_a_store_are_its_file_but_for_headers(sealed):
    plan = plan_of(inputs(), NOTHING, states(""))
    rows = {t.name: 4 * sum(row_bytes(name, t.spec) for name in TABLES) for t in (WAVEFORM, LOGMEL)}
    assert [s.n_bytes for s in plan.stores] == [
        2 * sum(WAVES.values()) + rows["waveform"], 32 * sum(FRAMES.values()) + rows["logmel"]]
    for store in plan.stores:
        in_file = sealed[store.name].sealed.path.stat().st_size
        assert 0 < in_file - store.n_bytes < 32_768


def test_nothing_to_do(sealed):
    plan = plan_of(inputs(), sealed, states())
    assert [(s.why, s.n_reused) for s in plan.stores] == [(UP_TO_DATE, 4)] * 2
    assert (plan.to_make, plan.decode, plan.n_reused) == ((), (), 4)


def test_a_changed_clip_alone_is_decoded(sealed):
    now = states()
    now.sources["c"] = Source("c", 100, 201, "e" * 64)
    plan = plan_of(inputs(), sealed, now)
    assert (plan.decode, plan.n_reused) == ((2,), 3)
    assert [s.why for s in plan.stores] == ["1 clip changed"] * 2


def test_a_clip_of_another_length_has_changed(sealed):
    """Even where the digest is that of the store: a table says otherwise."""
    plan = plan_of(inputs(b=8000), sealed, states())
    assert (plan.decode, plan.stores[0].why) == ((1,), "1 clip changed")


def test_new_clips_are_decoded_and_gone_ones_are_dropped(tmp_path):
    store = {"logmel": ReusableStores(store_of(tmp_path, LOGMEL, "ab"))}
    plan = plan_of(inputs("bcd"), store, states("b"), targets=(LOGMEL,))
    assert (plan.decode, plan.n_reused) == ((1, 2), 1)
    assert plan.stores[0].why == "2 clips new, 1 clip gone"
    assert plan.task(1, plan.stores).spans == {"logmel": Span(1, 2)}


def test_clips_gone_alone_decode_nothing(sealed):
    plan = plan_of(inputs("abd"), sealed, states("abd"))
    assert (plan.decode, plan.n_reused) == ((), 3)
    assert [s.why for s in plan.stores] == ["1 clip gone"] * 2


def test_one_store_may_be_up_to_date(sealed):
    reusable = {**sealed, "logmel": ReusableStores(why_none="settings changed: n_mels 4, now 8")}
    plan = plan_of(inputs(), reusable, states())
    assert [s.why for s in plan.stores] == [UP_TO_DATE, "settings changed: n_mels 4, now 8"]
    assert [s.name for s in plan.to_make] == ["logmel"]
    assert (plan.decode, plan.n_reused) == ((0, 1, 2, 3), 0)


def test_a_clip_is_reused_only_if_every_store_to_make_has_it(tmp_path):
    reusable = {"waveform": ReusableStores(store_of(tmp_path, WAVEFORM, "abc")),
                "logmel": ReusableStores(store_of(tmp_path, LOGMEL, "bcd"))}
    plan = plan_of(inputs(), reusable, states())
    assert (plan.decode, plan.n_reused) == ((0, 3), 2)
    assert [s.n_reused for s in plan.stores] == [3, 3]


def test_an_unfinished_run_has_the_clips_of_its_journal(tmp_path):
    partial = store_of(tmp_path, LOGMEL)
    reusable = {"logmel": ReusableStores(None, ((partial, {0, 2}),), "no store yet")}
    plan = plan_of(inputs(), reusable, states(), targets=(LOGMEL,))
    assert (plan.decode, plan.n_reused) == ((1, 3), 2)
    assert plan.stores[0].why == "no store yet; an unfinished run has 2 clips"


def test_without_a_known_digest_a_clip_is_decoded(sealed):
    plan = plan_of(inputs(), sealed, states("abd"))
    assert plan.decode == (2,)


# Bad clips

MISSING = Problem("b", "missing", "there is no such file", "Get the file again")
ROW = Problem("train.csv:7", "bad-row", "3 cells", "Fix the row")


def test_bad_clips_are_left_out_of_every_store():
    plan = plan_of(inputs(), NOTHING, states("", problems=[MISSING]), allow_failures=1)
    assert (plan.excluded, plan.problems) == ((Excluded("b", "missing", ""),), (MISSING,))
    assert [c.clip_id for c in plan.clips] == ["a", "c", "d"]
    assert {s.contents.clip_ids for s in plan.stores} == {("a", "c", "d")}
    assert {s.contents.excluded for s in plan.stores} == {plan.excluded}


def test_what_prepare_was_allowed_to_leave_out_does_not_count():
    plan = plan_of(inputs("acd", accepted=[MISSING]), NOTHING, states(""))
    assert (plan.excluded, plan.problems) == ((Excluded("b", "missing", ""),), ())


def test_a_bad_row_is_a_problem_and_no_clip():
    plan = plan_of(inputs(problems=[ROW]), NOTHING, states(""))
    assert (plan.excluded, plan.problems) == ((), (ROW,))


@pytest.fixture
def without_b(tmp_path):
    """A store that was made without a bad clip."""
    excluded = (Excluded("b", "non-finite", digest("b")),)
    return {"logmel": ReusableStores(store_of(tmp_path, LOGMEL, "acd", excluded))}


def test_a_clip_that_was_bad_and_did_not_change_is_not_tried_again(without_b):
    said = Problem("b", "non-finite", "nan at sample 3", "Convert it again")
    plan = plan_of(inputs(), without_b, states(reported=[said]), targets=(LOGMEL,),
                   allow_failures=1)
    assert (plan.to_make, plan.decode, plan.problems) == ((), (), (said,))
    plan = plan_of(inputs(), without_b, states(), targets=(LOGMEL,), allow_failures=1)
    assert [(p.where, p.reason) for p in plan.problems] == [("b", "non-finite")]


def test_it_is_tried_again_where_it_is_not_allowed_or_has_changed(without_b):
    plan = plan_of(inputs(), without_b, states(), targets=(LOGMEL,))
    assert (plan.decode, plan.stores[0].why, plan.problems) == ((1,), "1 clip new", ())
    now = states()
    now.sources["b"] = Source("b", 1, 1, "e" * 64)
    assert plan_of(inputs(), without_b, now, targets=(LOGMEL,), allow_failures=1).decode == (1,)


def test_a_clip_that_turned_bad_is_left_out(sealed):
    plan = plan_of(inputs(), sealed, states("acd", problems=[MISSING]), allow_failures=1)
    assert (plan.decode, plan.n_reused) == ((), 3)
    assert [s.why for s in plan.stores] == ["1 clip left out"] * 2


def test_a_bad_clip_that_left_the_table_changes_the_store(without_b):
    plan = plan_of(inputs("acd"), without_b, states("acd"), targets=(LOGMEL,))
    assert (plan.decode, plan.stores[0].why) == ((), "1 clip no longer left out")


def test_no_good_clip_is_no_store():
    plan = plan_of(inputs("b"), NOTHING, states("", problems=[MISSING]), allow_failures=1)
    assert (plan.clips, plan.stores, plan.to_make, plan.decode) == ((), (), (), ())
    assert "no clips to extract" in plan_table(plan, allow_failures=1)


# A plan is a value


def test_a_plan_is_frozen_and_planning_writes_nothing(sealed, tmp_path, monkeypatch):
    before = {p: p.stat() for p in tmp_path.iterdir()}
    monkeypatch.chdir(tmp_path)
    plan = plan_of(inputs(), sealed, states("ab"))
    assert {p: p.stat() for p in tmp_path.iterdir()} == before
    assert plan == plan_of(inputs(), sealed, states("ab"))
    for value, name in ((plan, "clips"), (plan.stores[0], "why")):
        with pytest.raises(AttributeError):
            setattr(value, name, ())


def test_a_plan_is_shown_as_a_table(sealed):
    reusable = {**sealed, "logmel": NOTHING}
    shown = plan_table(plan_of(inputs(), reusable, states()), allow_failures=0)
    assert shown.splitlines() == [
        "store           size  clips  decode  reuse  why",
        "waveform.h5  1.96 kB      4       0      4  up to date",
        "logmel.h5    1.34 kB      4       4      0  no store yet",
        "4 clips to decode (0 s), 0 to reuse, 0 to leave out, 1.34 kB to write",
    ]


def test_more_bad_clips_than_allowed_are_said():
    plan = plan_of(inputs(), NOTHING, states("", problems=[MISSING]))
    shown = plan_table(plan, allow_failures=0)
    assert "1 bad clips, 0 allowed: nothing would be sealed" in shown
    assert "--allow-failures 1" in shown
    assert "allowed" not in plan_table(plan, allow_failures=1)


def test_os_is_not_asked_while_planning(sealed, monkeypatch):
    given = inputs(), sealed, states()
    # Undone before anything is asserted: pytest itself needs the system to report.
    with monkeypatch.context() as patched:
        for name in ("stat", "open", "scandir", "listdir"):
            patched.setattr(os, name, lambda *_, **__: pytest.fail("a file was looked at"))
        plan = plan_of(*given)
    assert plan.to_make == ()
