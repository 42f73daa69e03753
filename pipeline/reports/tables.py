"""Tables that readers sort, filter and page through in the browser.

All rows are in the page as JSON, and the script shows some of them: as HTML, 25,000 rows would take
the browser ten seconds. The first rows are HTML too, for readers without the script.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from pipeline.reports.templating import render

# A cell: text, a number, nothing, or a text that links to an anchor of the page.
Cell = str | float | None | tuple[str, str]

ROWS_PER_PAGE = 25

# Values of a column beyond which choosing one from a list is no help.
_MOST_CHOICES = 100


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    title : str
    kind : {"text", "number"}
        Numbers are sorted by value and aligned to the right.
    digits : int
        Decimal places of a number.
    choose : bool
        Offer a list of the column's values to filter by. A cell of several values joins them by
        a comma and a space.
    """

    title: str
    kind: Literal["text", "number"] = "text"
    digits: int = 0
    choose: bool = False


def table(
    name: str, caption: str, columns: Sequence[Column], rows: Sequence[Sequence[Cell]], *,
    per_page: int = ROWS_PER_PAGE,
) -> Markup:
    """Make a table.

    Parameters
    ----------
    name : str
        Its id on the page.
    caption : str
    columns : sequence of Column
    rows : sequence of sequences
        Cells in the order of the columns, rows in the order that is shown first. A number that is
        NaN or None is an empty cell. A tuple (text, ``"#anchor"``) is a link.
    per_page : int
        Rows shown at a time.

    Returns
    -------
    Markup
    """
    cells = [[_plain(cell, column) for cell, column in zip(row, columns, strict=True)]
             for row in rows]
    choices = [
        (k, column.title, values) for k, column in enumerate(columns)
        if column.choose and 1 < len(values := _values(cells, k)) <= _MOST_CHOICES
    ]
    data = {
        "columns": [{"kind": column.kind, "digits": column.digits} for column in columns],
        "rows": cells, "perPage": per_page,
    }
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return render(
        "templates/table.html", name=name, caption=caption, columns=columns, choices=choices,
        first=[[_shown(cell, column) for cell, column in zip(row, columns, strict=True)]
               for row in cells[:per_page]],
        n_rows=len(cells),
        # No tag begins inside of a script element.
        data=Markup(text.replace("<", "\\u003c")),
    )


def _plain(cell: Cell, column: Column) -> Cell:
    if isinstance(cell, tuple) or column.kind == "text":
        return cell if cell is not None else ""
    value = None if cell is None else float(cell)
    # Digits that nobody sees would be a third of the page.
    return None if value is None or math.isnan(value) else round(value, column.digits)


def _values(cells: Sequence[Sequence[Cell]], k: int) -> list[str]:
    texts = (cell[0] if isinstance(cell := row[k], tuple) else str(cell) for row in cells)
    return sorted({value for text in texts for value in text.split(", ") if value})


def _shown(cell: Cell, column: Column) -> Cell:
    if column.kind == "text" or isinstance(cell, tuple):
        return cell
    return "–" if cell is None else f"{cell:,.{column.digits}f}"
