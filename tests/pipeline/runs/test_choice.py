"""Which run a command names, and where a run that builds on another one belongs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipeline.runs.choice import choose_run
from pipeline.runtime.errors import UsageError


@dataclass(frozen=True)
class Entry:
    features: str
    start_from: str | None = None
    teacher: str | None = None


@dataclass(frozen=True)
class FollowUp(Entry):
    follows: str = ""


@dataclass(frozen=True)
class Settings:
    run: str | None = None
    features: str | None = None
    runs: dict = field(default_factory=lambda: {"base": Entry("mfcc"), "other": Entry("mfcc")})
    follow_ups: dict = field(default_factory=dict)
    runs_dir: Path = Path("runs")
    jobs: int = 1
    start_from: str | None = None
    teacher: str | None = None


def refused(**settings):
    with pytest.raises(UsageError) as caught:
        choose_run(Settings(**settings), Entry, features=["mfcc"])
    return str(caught.value).split("\n")


def test_a_follow_up_is_chosen_like_a_run():
    entry = FollowUp("mfcc", teacher="base", follows="base")
    folder, chosen = choose_run(Settings(run="next", follow_ups={"next": entry}), Entry,
                                features=["mfcc"])
    assert folder.name == "next"
    assert chosen is entry


def test_flags_may_build_on_another_run_under_a_name_of_their_own():
    settings = Settings(run="try", features="mfcc", start_from="base")
    assert choose_run(settings, Entry, features=["mfcc"])[1] == Entry("mfcc", "base")


@pytest.mark.parametrize(("entry", "message"), [
    (FollowUp("mfcc", follows="base"), "follow_ups.next takes nothing from base; "
     "needs start_from or teacher: base, or the section runs"),
    (FollowUp("mfcc", "base", "other", "base"),
     "follow_ups.next.teacher is other; needs the run that it follows, base"),
    (FollowUp("mfcc", "bse", follows="bse"),
     "follow_ups.next.follows is 'bse': no such run in params.yaml; did you mean base?"),
    (FollowUp("mfcc", "next", follows="next"),
     "follow_ups.next.follows is 'next': no such run in params.yaml; known: base, other"),
    (FollowUp("mfc", "base", follows="base"),
     "follow_ups.next.features is 'mfc': no such feature in params.yaml; did you mean mfcc?"),
])
def test_follow_ups_that_cannot_be(entry, message):
    assert refused(run="next", follow_ups={"next": entry}) == [message]


def test_runs_that_build_on_others_are_follow_ups():
    runs = {"base": Entry("mfcc"), "tuned": Entry("mfcc", start_from="base")}
    assert refused(run="tuned", runs=runs) == [
        "runs.tuned.start_from is base: move the run into section follow_ups, with follows: base"]
    same = {"base": FollowUp("mfcc", "other", follows="other")}
    assert refused(run="base", runs=runs, follow_ups=same)[0] == (
        "base is in the sections runs and follow_ups; give one another name")
