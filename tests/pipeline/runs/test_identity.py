"""The record of a run whose folds are trained by several processes."""

import threading

from pipeline.runs import identity as identities
from pipeline.runs.fold_folder import FoldFolder
from pipeline.runs.folder import RunFolder
from training_world import SPEC, recipe


def finish(fold, identity):
    fold.begin(identity)
    for path in (fold.model, fold.oof, fold.history):
        path.touch()
    fold.finish()


IDENTITY = {key: [] if key == "classes" else {} for key in identities._RECORDED}


def test_a_state_that_a_kill_left_beside_a_finished_fold_goes(tmp_path):
    run = RunFolder(tmp_path, "mfcc")
    finish(run.fold(0), IDENTITY)
    run.fold(1).begin(IDENTITY)
    for fold in (0, 1):
        run.fold(fold).checkpoint.touch()
    identities.write_record(run, IDENTITY, SPEC, recipe(), (0, 1))
    assert not run.fold(0).checkpoint.exists()
    assert run.fold(1).is_resumable(IDENTITY)


def test_folds_that_end_at_the_same_time_are_both_on_record(tmp_path, monkeypatch):
    """Each process looks at all folds, then writes; a later look must be written later."""
    run, folds = RunFolder(tmp_path, "mfcc"), (0, 1)
    finish(run.fold(0), IDENTITY)
    looked, look = threading.Event(), FoldFolder.is_finished

    def look_slowly(fold, wanted):
        result = look(fold, wanted)
        if fold.fold == 1 and threading.current_thread() is first:
            looked.set()
            second.join(0.2)
        return result

    monkeypatch.setattr(FoldFolder, "is_finished", look_slowly)

    def record():
        identities.write_record(run, IDENTITY, SPEC, recipe(), folds)

    def finish_and_record():
        assert looked.wait(60)
        finish(run.fold(1), IDENTITY)
        record()

    first, second = threading.Thread(target=record), threading.Thread(target=finish_and_record)
    second.start()
    first.start()
    first.join(60)
    second.join(60)
    assert run.read().folds == (0, 1)
    assert [path.name for path in run.path.iterdir() if path.is_file()] == ["run.json"]
