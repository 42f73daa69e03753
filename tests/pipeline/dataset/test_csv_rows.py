"""CSVs that others wrote: what is accepted, what is refused and with which words."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dataset import csv_rows as tables
from pipeline.runtime.errors import UsageError
from pipeline.runtime.rows import read_rows


@pytest.fixture
def path(tmp_path):
    return tmp_path / "t.csv"


@pytest.mark.parametrize("data", [
    b"fname,labels\na.wav,Bark\n",
    b"\xef\xbb\xbffname,labels\na.wav,Bark\n",
    b"fname,labels\r\na.wav,Bark\r\n",
    b"fname,labels\ra.wav,Bark",
])
def test_spreadsheets_line_ends_and_byte_order_mark(path, data):
    path.write_bytes(data)
    assert read_rows(path) == [(1, ["fname", "labels"]), (2, ["a.wav", "Bark"])]


def test_rows_count_as_an_editor_counts_lines(path):
    path.write_bytes(b'a,b\n\n1,"x\ny"\n\n2,z\n\n')
    assert read_rows(path) == [(1, ["a", "b"]), (3, ["1", "x\ny"]), (6, ["2", "z"])]


@pytest.mark.parametrize(("data", "words"), [
    (b"", "empty"),
    (b"\n\n", "empty"),
    ("fname,labels\nä.wav,x\n".encode("utf-16"), "UTF-16"),
    (b"PK\x03\x04rest", "Excel"),
    ("fname,labels\na.wav,Bellen\nb.wav,Größe\n".encode("latin-1"),
     "t.csv:3: not UTF-8 (byte 0xf6)"),
    (b'fname,labels\na.wav,"Bark\nb.wav,Meow\n', "t.csv:2: not a CSV"),
    (b'fname,labels\na.wav,"Bark"x\n', "t.csv:2: not a CSV"),
    (b"fname,labels\na.wav," + b"x" * 200_000, "t.csv:2: not a CSV"),
])
def test_what_is_no_csv(path, data, words):
    path.write_bytes(data)
    with pytest.raises(UsageError, match=r"t\.csv") as error:
        read_rows(path)
    assert words in str(error.value)


def test_a_folder_is_no_csv(tmp_path):
    with pytest.raises(UsageError, match="not a file"):
        read_rows(tmp_path)


@given(st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=2, max_size=4)
                .filter(any), min_size=1))
def test_any_csv_comes_back(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(rows)
    path.write_bytes(b"\xef\xbb\xbf" + text.getvalue().encode())
    assert [cells for _, cells in read_rows(path)] == rows


@given(st.binary())
def test_any_bytes_are_read_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    path.write_bytes(data)
    try:
        rows = read_rows(path)
    except UsageError:
        return
    assert rows
    assert all(cells for _, cells in rows)


def test_columns_in_any_order(path):
    assert tables.columns(path, ["license", " label ", "fname"]) == {
        "license": 0, "labels": 1, "fname": 2}


@pytest.mark.parametrize(("header", "words"), [
    (["name", "labels"], "no column fname (it has: name, labels)"),
    (["fname", "class"], "no column labels or label"),
    (["fname", "label", "labels"], "more than one column labels or label"),
    (["fname", "fname", "labels"], "more than one column fname"),
    (["fname;labels"], "separated by semicolons"),
    (["fname\tlabels"], "separated by tabs"),
    (["x"], "no column fname, no column labels or label"),
])
def test_missing_columns(path, header, words):
    with pytest.raises(UsageError) as error:
        tables.columns(path, header)
    assert words in str(error.value)


def test_row_of_another_length():
    with pytest.raises(tables.BadClip, match="3 cells, the header has 2") as error:
        tables.check_length(["a.wav", "Bark", "Meow"], ["fname", "labels"])
    assert "quotes" in error.value.advice
    with pytest.raises(tables.BadClip, match="1 cells"):
        tables.check_length(["a.wav"], ["fname", "labels"])
    tables.check_length(["a.wav", "Bark"], ["fname", "labels"])


@pytest.mark.parametrize(("name", "reason"), [
    ("../x.wav", "outside"), ("a/../../x.wav", "outside"), ("..", "outside"),
    ("/etc/passwd", "outside"), ("..\\x.wav", "outside"), ("a\\b.wav", "outside"),
    ("C:/x.wav", "outside"), ("C:\\x.wav", "outside"), ("//host/x.wav", "outside"),
    ("", "bad-row"), ("a\nb.wav", "bad-row"), ("a\0.wav", "bad-row"), ("\x1b[2J", "bad-row"),
    ("a\x9b2J", "bad-row"), ("\u202egnp.wav", "bad-row"), ("\ud800.wav", "bad-row"),
    ("./a.wav", "bad-row"), ("a//b.wav", "bad-row"), ("a/", "bad-row"),
])
def test_bad_names(name, reason):
    with pytest.raises(tables.BadClip) as error:
        tables.file_name(name)
    assert error.value.reason == reason


@pytest.mark.parametrize("name", ["a.wav", "b/c d.wav", "..a.wav", "ä — 音.wav", "a..b/x", "~x"])
def test_good_names(name):
    assert tables.file_name(name) == name


@given(st.text())
def test_an_accepted_name_stays_in_its_folder(tmp_path_factory, name):
    folder = tmp_path_factory.getbasetemp()
    try:
        accepted = tables.file_name(name)
    except tables.BadClip:
        return
    assert (folder / accepted).resolve().is_relative_to(folder.resolve())


@pytest.mark.parametrize(("cell", "names"), [
    ("Bark", ("Bark",)), ("Bark,Meow", ("Bark", "Meow")), (" Bark , Meow ", ("Bark", "Meow")),
    ("", ()), ("  ", ()), ("Fill_(with_liquid)", ("Fill_(with_liquid)",)),
])
def test_labels(cell, names):
    assert tables.label_names(cell, "a.wav") == names


@pytest.mark.parametrize("cell", ["Bark,", ",Bark", "Bark,,Meow", ",", "Bark,Bark", "Bark, Bark",
                                  "Ba\nrk"])
def test_bad_labels(cell):
    with pytest.raises(tables.BadClip) as error:
        tables.label_names(cell, "a.wav")
    assert error.value.reason == "bad-row"


@given(st.text())
def test_any_labels_cell_is_a_list_or_a_defect(cell):
    try:
        names = tables.label_names(cell, "a.wav")
    except tables.BadClip:
        return
    assert len(set(names)) == len(names)
    assert all(name and name == name.strip() and "," not in name for name in names)
    assert tables.label_names(",".join(names), "a.wav") == names


def test_folds():
    assert [tables.fold_number(x, "a") for x in ("0", "12", " 3 ")] == [0, 12, 3]
    for cell in ("", "-1", "1.0", "x", "1e3", "²", "٣", "9" * 5000):
        with pytest.raises(tables.BadClip) as error:
            tables.fold_number(cell, "a.wav")
        assert error.value.reason == "bad-fold"
