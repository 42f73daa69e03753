"""problems.csv comes back as it was written, and damage to it is an error."""

import pickle

import pytest

from pipeline.runtime.errors import UsageError
from pipeline.runtime.problems import BadClip, Problem, print_problems, read_csv, write_csv

PROBLEMS = [
    Problem("a.wav", "truncated", 'it ends, "early"', "Get it again"),
    Problem("t.csv:3", "bad-row", "2 cells", "Complete the row"),
]


def test_problems_come_back(tmp_path):
    path = tmp_path / "problems.csv"
    for problems in (PROBLEMS, []):
        write_csv(path, problems)
        assert read_csv(path) == problems
    assert path.read_bytes() == b"where,reason,found,advice\n"
    assert [p.name for p in tmp_path.iterdir()] == ["problems.csv"]


def test_no_file_is_no_problem(tmp_path):
    assert read_csv(tmp_path / "problems.csv") == []


@pytest.mark.parametrize(("data", "words"), [
    (b"", "problems.csv: empty"),
    (b"fname,labels\na.wav,Bark\n", "problems.csv:1: needs the columns where,reason,found,advice"),
    (b"where,reason,found,advice\na.wav,truncated,x\n", "problems.csv:2: 3 cells"),
    (b"where,reason,found,advice\na,empty,x,y\nb,tired,x,y\n", "problems.csv:3: reason is 'tired'"),
    (b'where,reason,found,advice\na.wav,truncated,"x\n', "problems.csv:2: not a CSV"),
    (b"where,reason,found,advice\na.wav,\xff\n", "problems.csv:2: not UTF-8"),
])
def test_a_damaged_file_is_not_an_empty_one(tmp_path, data, words):
    path = tmp_path / "problems.csv"
    path.write_bytes(data)
    with pytest.raises(UsageError) as error:
        read_csv(path)
    assert words in str(error.value)
    assert "delete it and rerun the stage that wrote it" in str(error.value)


def test_a_folder_or_a_broken_link_is_not_an_empty_file(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    for name in ("folder", "link"):
        with pytest.raises(UsageError, match="not a file"):
            read_csv(tmp_path / name)


def test_a_bad_clip_becomes_a_problem_also_after_a_worker_sent_it():
    bad = BadClip("empty", "it has 0 bytes", "Get it again")
    for each in (bad, pickle.loads(pickle.dumps(bad))):
        assert str(each) == "it has 0 bytes"
        assert each.at("a.wav") == Problem("a.wav", "empty", "it has 0 bytes", "Get it again")


def test_what_a_table_quotes_does_nothing_to_the_terminal_nor_fills_it(capsys):
    print_problems([Problem("a\x1b[31m.wav", "bad-row", "fname is " + "x" * 5000, "Rename it")])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(r"  a\x1b[31m.wav: bad-row: fname is xxx")
    assert line.endswith("xxx…. Rename it")
    assert len(line) < 600
