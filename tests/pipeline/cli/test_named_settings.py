"""Named features and the like: unions by kind, dotted flags, --set, shared settings, messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pytest
from annotated_types import Ge, Gt, Le, Lt

from pipeline.cli.markers import FlagOnly, Help, Section, SharedBy
from pipeline.cli.settings import parse
from pipeline.runtime.errors import UsageError


@dataclass(frozen=True)
class Wave:
    kind: Literal["wave"] = "wave"
    sr: Annotated[int, Ge(1000), Le(96_000), Help("sampling rate (Hz)")] = 44_100
    dtype: Literal["int16", "float32"] = "int16"


@dataclass(frozen=True)
class Mel:
    kind: Literal["mel"] = "mel"
    sr: Annotated[int, Ge(1000), Le(96_000)] = 44_100
    n_fft: Annotated[int, Ge(16)] = 2048
    hop: Annotated[float, Gt(0), Lt(1)] = 0.25
    top_db: Annotated[float | None, Gt(0)] = 80.0
    bands: tuple[Annotated[int, Ge(1)], ...] = (64,)

    def __post_init__(self):
        if self.sr < self.n_fft:
            raise ValueError(f"n_fft is {self.n_fft}; it cannot exceed sr, {self.sr}")


@dataclass(frozen=True)
class Run:
    feature: str
    epochs: Annotated[int | None, Ge(1)] = None


@dataclass(frozen=True)
class Settings:
    sr: Annotated[int, Ge(1000), SharedBy("features"), Help("rate of all (Hz)")]
    top_db: Annotated[float | None, SharedBy("features"), Help("range (dB); none: no clipping")]
    jobs: Annotated[int, Ge(-1), Section("machine"), Help("workers")]
    named: Annotated[Mapping[str, Wave | Mel], Section("features"), Help("one feature's setting")]
    named_runs: Annotated[Mapping[str, Run], Section("runs")]
    force: Annotated[bool, FlagOnly()] = False


TEXT = """
demo: {sr: 22050, top_db: null}
machine: {jobs: -1, backend: loky}
features:
  raw: {kind: wave, sr: 16000}
  mel: {kind: mel, n_fft: 512}
  mel-32k: {kind: mel, sr: 32000, hop: 1e-1, top_db: 60, bands: [32, 40]}
runs:
  a: {feature: mel}
  v1.2: {feature: raw, epochs: 7}
"""


@pytest.fixture
def params(tmp_path, monkeypatch):
    # The current folder's params.yaml stands alone; another file would be laid over it.
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "params.yaml"

    def write(*changes):
        text = TEXT
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path.write_text(text)
        return path

    return write


def read(path, *flags, cls=Settings):
    return parse("demo", cls, "What it does.", ["--params", str(path), *flags])


def refused(path, *flags, cls=Settings):
    with pytest.raises(UsageError) as caught:
        read(path, *flags, cls=cls)
    return str(caught.value).replace(str(path), "FILE").split("\n")


def test_everything_out_of_the_file(params):
    assert read(params()) == Settings(
        sr=22050, top_db=None, jobs=-1,
        named={
            "raw": Wave(sr=16000),
            "mel": Mel(sr=22050, n_fft=512, top_db=None),
            "mel-32k": Mel(sr=32000, hop=0.1, top_db=60.0, bands=(32, 40)),
        },
        named_runs={"a": Run("mel"), "v1.2": Run("raw", epochs=7)},
    )


def test_types_are_the_declared_ones(params):
    mel = read(params()).named["mel-32k"]
    assert [type(v) for v in (mel.sr, mel.hop, mel.top_db, mel.bands)] == [int, float, float, tuple]


def test_entries_take_what_they_leave_out_from_the_stage(params):
    named = read(params(("sr: 22050, top_db: null", "sr: 8000, top_db: 40"))).named
    assert [f.sr for f in named.values()] == [16000, 8000, 32000]
    assert [f.top_db for n, f in named.items() if n != "raw"] == [40.0, 60.0]


def test_a_plain_flag_wins_over_named_entries_too(params):
    found = read(params(), "--sr", "44100", "--top-db", "50")
    assert [f.sr for f in found.named.values()] == [44100] * 3
    assert [f.top_db for n, f in found.named.items() if n != "raw"] == [50.0, 50.0]
    assert (found.sr, found.top_db) == (44100, 50.0)
    cleared = read(params(), "--top-db", "none")
    assert cleared.named["mel-32k"].top_db is None


@pytest.mark.parametrize("flags", [
    ["--features.mel.n-fft", "1024"],
    ["--features.mel.n-fft=1024"],
    ["--features.mel.n_fft", "1024"],
    ["--set", "features.mel.n_fft=1024"],
    ["--set=features.mel.n_fft=1024"],
    ["--set", "features.mel.n_fft=64", "--set", "features.mel.n_fft=1024"],
])
def test_one_entry_is_set(params, flags):
    path = params()
    named = read(path, *flags, "--force").named
    assert named["mel"].n_fft == 1024
    assert named["mel-32k"] == read(path).named["mel-32k"]


@pytest.mark.parametrize(("flags", "get", "value"), [
    (["--features.mel-32k.sr", "48000"], lambda s: s.named["mel-32k"].sr, 48000),
    (["--features.mel.bands", "[8, 9]"], lambda s: s.named["mel"].bands, (8, 9)),
    (["--features.mel.bands", "8"], lambda s: s.named["mel"].bands, (8,)),
    (["--features.mel.hop", "1e-2"], lambda s: s.named["mel"].hop, 0.01),
    (["--features.mel-32k.top-db", "null"], lambda s: s.named["mel-32k"].top_db, None),
    (["--features.raw.dtype", "float32"], lambda s: s.named["raw"].dtype, "float32"),
    (["--features.raw.kind", "mel"], lambda s: s.named["raw"], Mel(sr=16000, top_db=None)),
    (["--runs.v1.2.epochs", "3"], lambda s: s.named_runs["v1.2"].epochs, 3),
    (["--set", "runs.a.epochs=3"], lambda s: s.named_runs["a"].epochs, 3),
    (["--set", "runs.a.feature=x=y"], lambda s: s.named_runs["a"].feature, "x=y"),
    (["--set", "demo.sr=16000"], lambda s: (s.sr, s.named["mel"].sr, s.named["raw"].sr),
     (16000, 16000, 16000)),
    (["--set", "machine.jobs=-1"], lambda s: s.jobs, -1),
    (["--set", "machine.jobs=2"], lambda s: s.jobs, 2),
    (["--jobs", "3"], lambda s: s.jobs, 3),
])
def test_values_of_set_and_of_dotted_flags(params, flags, get, value):
    found = get(read(params(), *flags))
    assert found == value
    assert type(found) is type(value)


def test_what_names_one_entry_wins_over_the_plain_flag(params):
    for flags in (["--sr", "44100", "--set", "features.raw.sr=8000"],
                  ["--features.raw.sr", "8000", "--sr", "44100"]):
        assert [f.sr for f in read(params(), *flags).named.values()] == [8000, 44100, 44100]


def test_entries_that_yaml_makes_of_one_another_stay_apart(params):
    path = params(("mel: {kind: mel, n_fft: 512}", "mel: &mel {kind: mel, n_fft: 512}\n"
                   "  twin: *mel\n  child: {<<: *mel, sr: 8000}"))
    named = read(path, "--features.mel.n-fft", "1024").named
    assert [named[name].n_fft for name in ("mel", "twin", "child")] == [1024, 512, 512]
    assert [named[name].sr for name in ("mel", "twin", "child")] == [22050, 22050, 8000]


def test_set_is_not_a_flag_over_entries(params):
    named = read(params(), "--set", "demo.sr=8000").named
    assert [f.sr for f in named.values()] == [16000, 8000, 32000]


@pytest.mark.parametrize(("flag", "message"), [
    ("features.mell.n_fft=1", "no 'mell' in features; did you mean mel?"),
    ("features.zzz.n_fft=1", "no 'zzz' in features; known: raw, mel, mel-32k"),
    ("features.mel.n_ftt=1", "no setting 'n_ftt'; did you mean n_fft?"),
    ("features.raw.n_fft=1", "no setting 'n_fft'; known: kind, sr, dtype"),
    ("features.n_fft=1", "needs features.NAME.KEY; names: raw, mel, mel-32k"),
    ("feature.mel.n_fft=1", "demo does not read section 'feature'; did you mean features?"),
    ("train.epochs=1",
     "demo does not read section 'train'; known: demo, machine, features, runs"),
    ("demo.rs=1", "no setting 'rs'; known: sr, top_db"),
    ("demo.force=true", "no setting 'force'; known: sr, top_db"),
    ("machine.backend=dask", "no setting 'backend'; known: jobs"),
    ("runs.a.epochs=[", "'[' is not valid YAML"),
    ("runs.a.epochs=2026-13-01", "'2026-13-01' is not valid YAML"),
])
def test_set_that_is_refused(params, flag, message):
    assert refused(params(), "--set", flag) == [f"--set {flag.partition('=')[0]}: {message}"]


def test_dotted_flags_are_refused_alike(params):
    assert refused(params(), "--features.mel.n-ftt", "1") == [
        "--features.mel.n-ftt: no setting 'n_ftt'; did you mean n_fft?"
    ]


def test_a_setting_given_twice_is_refused(params):
    assert refused(params(), "--sr", "8000", "--set", "demo.sr=16000") == [
        "--sr is given twice: also by --set demo.sr"
    ]


@pytest.mark.parametrize("flags", [
    ["--set"], ["--set", "demo.sr"], ["--features.mel.n-fft"], ["--features.mel.n-fft", "--force"],
    ["--other.mel.n-fft", "1"],
])
def test_flags_that_argparse_refuses(params, flags, capsys):
    with pytest.raises(SystemExit) as caught:
        read(params(), *flags)
    assert caught.value.code == 2
    assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize(("change", "message"), [
    (("n_fft: 512", "n_fft: 512.0"), "FILE: features.mel.n_fft is "
                                     "512.0: needs a whole number"),
    (("n_fft: 512", "n_fft: 8"), "FILE: features.mel.n_fft is 8: "
                                 "needs a whole number, at least 16"),
    (("n_fft: 512", "n_fft: '512'"), "FILE: features.mel.n_fft is "
                                     "'512': needs a whole number"),
    (("n_fft: 512", "n_fft: true"), "FILE: features.mel.n_fft is "
                                    "true: needs a whole number"),
    (("hop: 1e-1", "hop: .nan"), "FILE: features.mel-32k.hop is "
                                 "nan: needs a number"),
    (("hop: 1e-1", "hop: 1"), "FILE: features.mel-32k.hop is 1: "
                              "needs a number, above 0, below 1"),
    (("hop: 1e-1", "hop: 1e+1"), "FILE: features.mel-32k.hop is "
                                 "'1e+1': needs a number, above 0, below 1"),
    (("hop: 1e-1", "hop: 2026-01-01"), "FILE: features.mel-32k.hop "
                                       "is 2026-01-01: needs a number"),
    (("[32, 40]", "[32, 0]"), "FILE: features.mel-32k.bands is 0: "
                              "needs a whole number, at least 1"),
    (("sr: 16000", "dtype: int61"), "FILE: features.raw.dtype is "
                                    "'int61': did you mean int16?"),
    (("sr: 16000", "dtype: [1]"), "FILE: features.raw.dtype is [1]: "
                                  "needs a text"),
    (("sr: 16000", "ssr: 16000"), "FILE: unknown key features.raw.ssr; did you mean sr?"),
    (("sr: 16000", "1: 2"), "FILE: unknown key features.raw.1; known: kind, sr, dtype"),
    (("kind: wave", "kind: wav"), "FILE: features.raw.kind is 'wav': "
                                  "did you mean wave?"),
    (("kind: wave", "kind: 5"), "FILE: features.raw.kind is 5: "
                                "known: wave, mel"),
    (("kind: wave", "kind: []"), "FILE: features.raw.kind is []: "
                                 "known: wave, mel"),
    (("kind: wave, ", ""), "FILE: features.raw.kind is missing; known: wave, mel"),
    (("{kind: wave, sr: 16000}", "wave"),
     "FILE: features.raw is 'wave': needs a mapping with its settings"),
    (("{kind: wave, sr: 16000}", ""),
     "FILE: features.raw is null: needs a mapping with its settings"),
    (("raw: {k", "5: {k"), "FILE: features.5: the name 5 is not a text; put it in quotes"),
    (("{feature: mel}", "{epochs: 1}"), "FILE: runs.a.feature is missing"),
    (("{feature: mel}", "{feature: mel, epoch: 1}"),
     "FILE: unknown key runs.a.epoch; did you mean epochs?"),
    (("{feature: mel}", "{feature: 3}"),
     "FILE: runs.a.feature is 3: needs a text"),
    # What the dataclass itself refuses.
    (("n_fft: 512", "n_fft: 65536"),
     "FILE: features.mel: n_fft is 65536; it cannot exceed sr, 22050"),
    # The section itself.
    (("features:\n", "feature:\n"), "FILE: no section 'features'"),
    (("runs:\n  a", "runs: 5\nmore:\n  a"), "FILE: no section 'runs'"),
    (("machine: {jobs: -1, backend: loky}", ""), "FILE: no section 'machine'"),
    (("{jobs: -1, ", "{"), "FILE: machine.jobs is missing"),
    (("backend: loky", "backnd: loky"),
     "FILE: unknown key machine.backnd; did you mean backend?"),
    # A value that entries share is named once, as the stage's.
    (("sr: 22050", "sr: 10"),
     "FILE: demo.sr is 10: needs a whole number, at least 1000"),
    # An entry may be stricter than the stage.
    (("top_db: null", "top_db: -1"),
     "FILE: demo.top_db is -1: needs a number, above 0"),
])
def test_entries_that_are_refused(params, change, message):
    assert refused(params(change))[0] == message
    assert len(refused(params(change))) == 1 or "section" in message


def test_all_errors_at_once(params):
    path = params(("n_fft: 512", "n_fft: 1, n_ftt: 2"), ("kind: wave", "kind: x"),
                  ("{feature: mel}", "{epochs: 0}"), ("jobs: -1", "jobs: many"),
                  ("demo: {", "prepar: {}\ndemo: {other: 1, "))
    assert refused(path, "--sr", "5", "--set", "features.no.sr=1", "--set", "x.y=1") == [
        "FILE: unknown key demo.other; known: sr, top_db",
        "FILE: unknown section prepar; did you mean prepare?",
        "--set features.no.sr: no 'no' in features; known: raw, mel, mel-32k",
        "--set x.y: demo does not read section 'x'; known: demo, machine, features, runs",
        "--sr is 5: needs a whole number, at least 1000",
        "FILE: machine.jobs is 'many': needs a whole number",
        "FILE: features.raw.kind is 'x': known: wave, mel",
        "FILE: features.mel.n_fft is 1: needs a whole number, "
        "at least 16",
        "FILE: unknown key features.mel.n_ftt; did you mean n_fft?",
        "FILE: runs.a.feature is missing",
        "FILE: runs.a.epochs is 0: needs a whole number, at least 1",
    ]


def test_sections_of_other_stages_are_known(params):
    assert read(params(("demo: {", "extract: 5\ntrain: {x: 1}\ndemo: {"))).sr == 22050


def wave_and_mel():
    return Wave, Mel


@dataclass(frozen=True)
class Lazy:
    named: Annotated[Mapping[str, Any], Section("features", classes=wave_and_mel)]


@dataclass(frozen=True)
class LazyAtHelp:
    named: Annotated[Mapping[str, Any], Section("features", classes=lambda: 1 / 0)]


def test_classes_that_are_looked_up_late(params, capsys):
    assert read(params(), cls=Lazy).named["mel"] == Mel(n_fft=512)
    assert read(params(), "--features.mel.n-fft", "32", cls=Lazy).named["mel"].n_fft == 32
    assert "n_ftt; did you mean n_fft?" in refused(params(("n_fft", "n_ftt")), cls=Lazy)[0]
    with pytest.raises(SystemExit) as caught:
        read(params(), "--help", cls=LazyAtHelp)
    assert caught.value.code == 0
    with pytest.raises(ZeroDivisionError):
        read(params(), cls=LazyAtHelp)


@dataclass(frozen=True)
class Loud:
    level: Annotated[float, Ge(0)] = 1.0
    kind: ClassVar[str] = "loud"


@dataclass(frozen=True)
class Quiet:
    level: Annotated[float, Le(0)] = -1.0
    kind: ClassVar[str] = "quiet"


@dataclass(frozen=True)
class ByClass:
    named: Annotated[Mapping[str, Loud | Quiet], Section("features")]


def test_a_class_attribute_may_be_the_kind(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("features: {a: {kind: loud}, b: {kind: quiet, level: -2}}")
    assert read(path, cls=ByClass).named == {"a": Loud(), "b": Quiet(-2.0)}
    assert read(path, "--features.a.kind", "quiet", cls=ByClass).named["a"] == Quiet()
    assert refused(path, "--features.a.level", "-1", "--features.b.kind", "qiet", cls=ByClass) == [
        "--features.a.level is -1: needs a number, at least 0",
        "--features.b.kind is 'qiet': did you mean quiet?",
    ]
    path.write_text("features: {a: {}, b: {kind: quiet, lvl: 1}}")
    assert refused(path, cls=ByClass) == [
        "FILE: features.a.kind is missing; known: loud, quiet",
        "FILE: unknown key features.b.lvl; did you mean level?",
    ]


def test_help_tells_of_named_entries(params, capsys):
    with pytest.raises(SystemExit) as caught:
        read(params(), "--help")
    assert caught.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "--features.NAME.KEY VALUE one feature's setting" in shown
    assert "--runs.NAME.KEY VALUE" in shown
    assert "--set SECTION.KEY=VALUE" in shown
    assert "(default: none)" in shown
    assert "--named" not in shown


@dataclass(frozen=True)
class Files:
    out: Annotated[Path, Help("the folder")]
    name: Annotated[str | None, FlagOnly()] = None
    files: Annotated[tuple[Path, ...], FlagOnly()] = ()


def test_paths_need_not_be_utf8_but_texts_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "params.yaml"
    path.write_text("demo: {out: a}")
    odd = b"caf\xe9".decode("utf-8", "surrogateescape")
    found = read(path, "--out", odd, "--files", odd, "b", cls=Files)
    assert found == Files(Path(odd), files=(Path(odd), Path("b")))
    assert refused(path, "--name", odd, cls=Files) == [f"--name is {odd!r}: needs a text"]


@dataclass(frozen=True)
class Optional:
    mode: Annotated[Literal["a", "b"] | None, Help("the mode")]


def test_a_choice_may_be_none(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "params.yaml"
    path.write_text("demo: {mode: a}")
    assert read(path, "--mode", "none", cls=Optional).mode is None
    assert read(path, cls=Optional).mode == "a"
    with pytest.raises(SystemExit):
        read(path, "--help", cls=Optional)
    assert "--mode {a,b,none}" in capsys.readouterr().out
