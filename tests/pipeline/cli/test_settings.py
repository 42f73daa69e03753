"""Settings out of params.yaml and flags: what is accepted, what is refused, and in what words."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

import pytest
from annotated_types import Ge, Le

from pipeline import extract
from pipeline.cli.markers import AlsoPositional, FlagOnly, Help, Positional
from pipeline.cli.params_file import PARAMS, read_document, read_values
from pipeline.cli.settings import parse
from pipeline.runtime.errors import UsageError

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Settings:
    out: Annotated[Path, Help("the folder")]
    sr: Annotated[int, Ge(1000), Le(48000), Help("the rate (Hz)")]
    low_sr: Annotated[int | None, Help("another rate")]
    high_sr: Annotated[int | None, Help("yet another rate")]
    lr: Annotated[float, Ge(0), Help("the learning rate")]
    top_db: Annotated[float | None, Help("100 % optional")]
    kind: Annotated[Literal["cnn", "rnn"], Help("the kind")]
    parts: Annotated[tuple[Literal["a", "b", "c"], ...], Help("the parts")]
    sizes: Annotated[tuple[Annotated[int, Ge(1)], ...], Help("the sizes")]
    fast: Annotated[bool, Help("a switch")]
    note: Annotated[str | None, Help("a text")]
    force: Annotated[bool, FlagOnly(), Help("do it again")] = False
    limit: Annotated[int | None, Ge(1), FlagOnly(), Help("only so many")] = None


SECTION = """
demo:
  out: there
  sr: 16000
  low_sr: 8000
  high_sr: null
  lr: 0.5
  top_db: 80
  kind: cnn
  parts: [a, b]
  sizes: [3]
  fast: true
  note: null
"""


@pytest.fixture
def params(tmp_path, monkeypatch):
    # The current folder's params.yaml stands alone; another file would be laid over it.
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "params.yaml"

    def write(text=SECTION, **values):
        for key, value in values.items():
            text = "\n".join(
                f"  {key}: {value}" if line.startswith(f"  {key}:") else line
                for line in text.split("\n")
            )
        path.write_text(text)
        return path

    write()
    return write


def read(path, *flags, cls=Settings):
    return parse("demo", cls, "What it does.", ["--params", str(path), *flags])


def refused(path, *flags, cls=Settings):
    with pytest.raises(UsageError) as caught:
        read(path, *flags, cls=cls)
    assert caught.value.exit_code == 2
    return str(caught.value).split("\n")


def test_everything_out_of_the_file(params):
    assert read(params()) == Settings(
        out=Path("there"), sr=16000, low_sr=8000, high_sr=None, lr=0.5, top_db=80.0, kind="cnn",
        parts=("a", "b"), sizes=(3,), fast=True, note=None, force=False, limit=None,
    )


@pytest.mark.parametrize(("flags", "expected"), [
    (["--out", "here"], {"out": Path("here")}),
    (["--sr", "22050", "--low-sr", "4000"], {"sr": 22050, "low_sr": 4000}),
    (["--lr", "1e-3"], {"lr": 0.001}),
    (["--lr", "2"], {"lr": 2.0}),
    (["--top-db", "none"], {"top_db": None}),
    (["--top-db", "NULL"], {"top_db": None}),
    (["--top-db", "60.5"], {"top_db": 60.5}),
    (["--low-sr", "none"], {"low_sr": None}),
    (["--note", "a text"], {"note": "a text"}),
    (["--kind", "rnn"], {"kind": "rnn"}),
    (["--parts", "c"], {"parts": ("c",)}),
    (["--parts", "c", "a"], {"parts": ("c", "a")}),
    (["--sizes", "4", "5"], {"sizes": (4, 5)}),
    (["--no-fast"], {"fast": False}),
    (["--fast"], {"fast": True}),
    (["--force"], {"force": True}),
    (["--limit", "7"], {"limit": 7}),
])
def test_flags_win_over_the_file(params, flags, expected):
    settings = read(params(), *flags)
    for name, value in expected.items():
        assert getattr(settings, name) == value
        assert type(getattr(settings, name)) is type(value)


@pytest.mark.parametrize(("written", "value"), [
    ("1e-3", 0.001), ("1.0e-3", 0.001), ("1", 1.0), ("'0.25'", 0.25), (".5", 0.5),
])
def test_numbers_as_yaml_reads_them(params, written, value):
    """YAML 1.1 reads 1e-3 as a text, and 1 as a whole number."""
    lr = read(params(lr=written)).lr
    assert lr == value
    assert type(lr) is float


@pytest.mark.parametrize("written", ["null", "~", ""])
def test_null_in_the_file_is_none(params, written):
    assert read(params(top_db=written)).top_db is None


def test_one_value_stands_for_a_list_of_one(params):
    assert read(params(parts="c", sizes="9")).parts == ("c",)
    assert read(params(parts="c", sizes="9")).sizes == (9,)


def test_a_rate_for_all_wins_over_the_features_own():
    def rates(*flags):
        found = parse("extract", extract.Settings, "", ["--params", str(ROOT / PARAMS), *flags])
        return [found.named[name].sr for name in ("waveform", "mfcc", "logmel")]

    assert rates() == [16000, 44100, 44100]
    assert rates("--sr", "32000") == [32000, 32000, 32000]
    assert rates("--sr", "32000", "--features.waveform.sr", "8000") == [8000, 32000, 32000]
    assert rates("--set", "features.mfcc.sr=22050") == [16000, 22050, 44100]


@pytest.mark.parametrize(("key", "written", "message"), [
    ("sr", "fast", "is 'fast': needs a whole number"),
    ("sr", "16000.5", "is 16000.5: needs a whole number"),
    ("sr", "true", "is true: needs a whole number"),
    ("sr", "null", "is null: needs a whole number"),
    ("sr", "[1, 2]", "is [1, 2]: needs a whole number"),
    ("sr", "999", "is 999: needs a whole number, 1000 to 48000"),
    ("sr", "48001", "is 48001: needs a whole number, 1000 to 48000"),
    ("lr", "quick", "is 'quick': needs a number"),
    ("lr", "-0.1", "is -0.1: needs a number, at least 0"),
    ("lr", ".nan", "is nan: needs a number"),
    ("lr", "false", "is false: needs a number"),
    ("top_db", "loud", "is 'loud': needs a number"),
    ("kind", "gru", "is 'gru': known: cnn, rnn"),
    ("kind", "3", "is 3: needs a text"),
    ("parts", "[a, z]", "is 'z': known: a, b, c"),
    ("sizes", "[1, x]", "is 'x': needs a whole number"),
    ("sizes", "[1, 0]", "is 0: needs a whole number, at least 1"),
    ("fast", "1", "is 1: needs true or false"),
    ("fast", "'yes'", "is 'yes': needs true or false"),
    ("out", "5", "is 5: needs a text"),
    ("out", "''", "is '': needs a path that is not empty"),
])
def test_values_that_are_refused(params, key, written, message):
    path = params(**{key: written})
    assert refused(path) == [f"{path}: demo.{key} {message}"]


def test_a_list_needs_values(params):
    assert "sizes" in refused(params(sizes="null"))[0]


@pytest.mark.parametrize(("flags", "message"), [
    (["--sr", "999"], "--sr is 999: needs a whole number, "
                      "1000 to 48000"),
    # It has no key in the file.
    (["--limit", "0"], "--limit is 0: needs a whole number, at least 1"),
    (["--lr", "nan"], "--lr is nan: needs a number"),
])
def test_flags_out_of_range_are_refused(params, flags, message):
    path = params()
    assert refused(path, *flags) == [message.format(path=path)]


@pytest.mark.parametrize("flags", [
    ["--sr", "fast"], ["--kind", "gru"], ["--parts", "a", "z"], ["--nonsense"], ["--sr"],
    ["--low"],  # no abbreviations: the next version may have two that begin so
])
def test_flags_that_argparse_refuses_exit_with_2(params, flags, capsys):
    with pytest.raises(SystemExit) as caught:
        read(params(), *flags)
    assert caught.value.code == 2
    assert "usage: python -m pipeline.demo" in capsys.readouterr().err


@pytest.mark.parametrize(("flags", "said"), [
    (["--top-bd", "3"], "unrecognized arguments: --top-bd 3; did you mean --top-db?\n"),
    (["--knd=rnn", "--part", "a"],
     "unrecognized arguments: --knd=rnn --part a; did you mean --kind, --parts?\n"),
    (["--zebra"], "unrecognized arguments: --zebra\n"),
    (["stray"], "unrecognized arguments: stray\n"),
])
def test_a_flag_that_is_near_is_named(params, flags, said, capsys):
    with pytest.raises(SystemExit):
        read(params(), *flags)
    assert capsys.readouterr().err.endswith("error: " + said)


@pytest.mark.parametrize(("flags", "said"), [
    (["--kind", "cn"], "argument --kind: invalid choice: 'cn'; did you mean cnn? "
                       "(choose from cnn, rnn)\n"),
    (["--kind", "gru"], "argument --kind: invalid choice: 'gru' (choose from cnn, rnn)\n"),
])
def test_a_choice_that_is_near_is_named(params, flags, said, capsys):
    with pytest.raises(SystemExit):
        read(params(), *flags)
    assert capsys.readouterr().err.endswith("error: " + said)


def test_unknown_and_missing_keys_are_all_listed(params):
    path = params(SECTION.replace("  kind:", "  knd:").replace("  lr:", "  wholly_else:"))
    assert refused(path) == [
        f"{path}: unknown key demo.wholly_else; "
        "known: out, sr, low_sr, high_sr, lr, top_db, kind, parts, sizes, fast, note",
        f"{path}: unknown key demo.knd; did you mean kind?",
        f"{path}: demo.lr is missing",
        f"{path}: demo.kind is missing",
    ]


def test_a_missing_key_is_an_error_even_when_its_flag_is_given(params):
    path = params(SECTION.replace("  kind: cnn\n", ""))
    assert refused(path, "--kind", "rnn") == [f"{path}: demo.kind is missing"]


def test_a_flag_only_setting_has_no_key(params):
    path = params(SECTION + "  force: true\n")
    assert refused(path)[0].startswith(f"{path}: unknown key demo.force")


def test_bad_values_are_all_listed(params):
    path = params(sr="1", lr="x", kind="gru", parts="[z, y]", fast="3")
    assert [line.partition(" is ")[0] for line in refused(path, "--limit", "-1")] == [
        *(f"{path}: demo.{key}" for key in ("sr", "lr", "kind", "parts", "parts", "fast")),
        "--limit",
    ]


@pytest.mark.parametrize(("text", "message"), [
    ("", "no section 'demo'"),
    ("other:\n  a: 1\n", "no section 'demo'"),
    ("demo: 5\n", "no section 'demo'"),
    ("- demo\n", "needs sections with settings, such as train: {epochs: 50}"),
    ("demo: [unclosed\n", "2:1: not valid YAML: "),
    ("demo:\n\tout: x\n", "2:1: not valid YAML: "),
])
def test_files_that_are_refused(params, text, message):
    path = params(text)
    colon = ":" if message[0].isdigit() else ": "
    assert refused(path)[0].startswith(f"{path}{colon}{message}")


def test_a_file_that_is_missing_unreadable_or_no_text(tmp_path):
    missing = tmp_path / "none.yaml"
    assert refused(missing) == [
        f"{missing}: no such file. Run from the project's folder, or name it with --params."
    ]
    assert refused(tmp_path)[0].startswith(f"{tmp_path}: cannot be read: ")
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00demo")
    assert refused(binary)[0].startswith(f"{binary}: cannot be read: ")


def test_the_file_may_run_nothing(params, tmp_path):
    path = params(f"demo: !!python/object/apply:os.mkdir ['{tmp_path}/made']\n")
    assert "not valid YAML" in refused(path)[0]
    assert not (tmp_path / "made").exists()


def test_values_of_another_section(params):
    assert read_values(params(), "demo")["parts"] == ["a", "b"]


@dataclass(frozen=True)
class Arguments:
    files: Annotated[tuple[Path, ...], Positional(), Help("the files")]
    top: Annotated[int, FlagOnly(), Help("how many")] = 3


def test_flag_only_settings_need_no_file(tmp_path):
    assert read(tmp_path / "none.yaml", "a.wav", "b.wav", cls=Arguments) == Arguments(
        files=(Path("a.wav"), Path("b.wav")), top=3
    )
    with pytest.raises(SystemExit) as caught:
        read(tmp_path / "none.yaml", cls=Arguments)
    assert caught.value.code == 2


@dataclass(frozen=True)
class Either:
    out: Annotated[Path, AlsoPositional(), Help("the folder")]


def test_a_setting_that_may_be_given_without_its_flag(params):
    path = params("demo:\n  out: there\n")
    assert read(path, cls=Either).out == Path("there")
    assert read(path, "here", cls=Either).out == Path("here")
    assert read(path, "--out", "here", cls=Either).out == Path("here")
    with pytest.raises(SystemExit) as caught:
        read(path, "here", "--out", "elsewhere", cls=Either)
    assert caught.value.code == 2


@pytest.mark.parametrize(("cls", "argv"), [
    (Arguments, ("a.wav", "")), (Either, ("",)), (Either, ("--out", "")),
])
def test_an_empty_path_is_refused(params, capsys, cls, argv):
    """It would be the working folder, and is what an unset variable of the shell leaves."""
    with pytest.raises(SystemExit) as caught:
        read(params("demo:\n  out: there\n"), *argv, cls=cls)
    assert caught.value.code == 2
    assert "the path is empty" in capsys.readouterr().err


@pytest.mark.parametrize("broken", [None, "demo: [unclosed\n", "demo:\n  nonsense: 1\n"])
def test_help_teaches_without_a_file_and_with_a_broken_one(tmp_path, params, capsys, broken):
    path = tmp_path / "none.yaml" if broken is None else params(broken)
    with pytest.raises(SystemExit) as caught:
        read(path, "--help")
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert "What it does." in shown
    for field in fields(Settings):
        assert "--" + field.name.replace("_", "-") in shown
    assert "100 % optional" in shown


def test_help_shows_what_the_file_says(params, capsys):
    with pytest.raises(SystemExit):
        read(params(lr="1e-3", parts="[b, c]"), "--help")
    shown = " ".join(capsys.readouterr().out.split())
    assert "the learning rate (default: 1e-3)" in shown
    assert "the parts (default: b c)" in shown
    assert "another rate (default: 8000)" in shown
    assert "--params FILE" in shown


def test_importing_settings_is_cheap():
    code = "import sys, pipeline.cli.settings, pipeline.cli.main; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert "argparse" in loaded
    assert not {"yaml", "pydantic", "numpy", "pandas", "h5py"} & set(loaded)


def test_a_key_given_twice_is_an_error(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("features:\n  mfcc: {kind: mfcc}\n  mfcc: {kind: logmel}\n")
    with pytest.raises(UsageError, match=r"params\.yaml:3:3: not valid YAML: mfcc is given twice"):
        read_document(path)
