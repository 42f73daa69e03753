"""Read any CSV row by row; read and write the project's own tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from pipeline.runtime.errors import UsageError
from pipeline.runtime.files import atomic_write, read_limited

T = TypeVar("T")


def read_rows(path: Path) -> list[tuple[int, list[str]]]:
    """Every row of a CSV that is not blank, with the line it begins on (1 is the header).

    A byte order mark and CRLF or CR line ends are accepted, as spreadsheets write them.

    Raises
    ------
    UsageError
        If it is not UTF-8, not a CSV, larger than 1 GB, or holds nothing.
    """
    return list(each_row(path))


def each_row(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield what :func:`read_rows` returns, for tables whose rows need not be there all at once."""
    if not path.is_file():
        raise UsageError(f"{path}: not a file")
    data = read_limited(path)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise UsageError(f"{path}: looks like UTF-16; save it as CSV UTF-8")
    if data[:4] == b"PK\x03\x04":
        raise UsageError(f"{path}: looks like an Excel workbook or a zip; save it as CSV UTF-8")
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(
            f"{path}:{line}: not UTF-8 (byte 0x{data[error.start]:02x}); save it as CSV UTF-8"
        ) from None
    # Not a StringIO of the text, which would take four bytes a character.
    lines = io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", newline="")
    reader = csv.reader(lines, strict=True)
    empty, begins = True, 1
    try:
        for cells in reader:
            if cells:
                empty = False
                yield begins, cells
            begins = reader.line_num + 1
    except csv.Error as error:
        raise UsageError(
            f"{path}:{begins}: not a CSV from here on ({error}); is a quote left open?"
        ) from None
    if empty:
        raise UsageError(f"{path}: empty; needs a header and rows")


def read_table(
    path: Path, columns: Sequence[str], parse: Callable[[list[str]], T], *, advice: str,
    unique: bool = False,
) -> list[T]:
    """Read a table that :func:`write_rows` wrote.

    Parameters
    ----------
    path : Path
    columns : sequence of str
        The header that the table must have.
    parse : callable
        Makes a value of a row's cells, as many as there are columns; raises ValueError for a bad
        one.
    advice : str
        What to do about a damaged table, a sentence for the error.
    unique : bool
        Whether the first column must differ in all rows.

    Returns
    -------
    list
        The result of `parse` for each row.

    Raises
    ------
    UsageError
        If it is not there or not such a table; lists everything wrong as file:row.
    """
    try:
        rows = each_row(path)
        _, header = next(rows)
        if header != list(columns):
            raise UsageError(f"{path}:1: needs the columns {','.join(columns)}")
        result, errors, seen = [], [], dict[str, int]()
        for line, cells in rows:
            try:
                if len(cells) != len(header):
                    raise ValueError(f"{len(cells)} cells; the header has {len(header)}")
                result.append(parse(cells))
                if unique and (first := seen.setdefault(cells[0], line)) != line:
                    raise ValueError(f"{cells[0]!r} is in row {first} already")
            except ValueError as error:
                errors.append(f"{path}:{line}: {error}")
        if errors:
            raise UsageError("\n".join(errors))
    except UsageError as error:
        raise UsageError(f"{error}. {advice}") from None
    return result


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a CSV atomically: comma-separated, UTF-8, LF line ends."""
    with atomic_write(path) as partial, open(partial, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
