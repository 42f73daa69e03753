"""Write what was found: tables or JSON on the standard output, a CSV, problems on stderr."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pipeline.runtime import problems
from pipeline.runtime.errors import BadClipsError
from pipeline.tagging.audio_files import Found
from pipeline.tagging.documents import json_document, write_csv
from pipeline.tagging.tag_files import Tagged
from pipeline.tagging.tagger import Tagger
from pipeline.tagging.text import head, table


def print_notes(found: Found) -> None:
    """Say on stderr what a search passed over."""
    if n := found.n_skipped:
        print(f"  note: skipped {n} file{'s' * (n > 1)} in folders without the suffix of an audio "
              "format; name a file itself to try it", file=sys.stderr)


def report(
    tagger: Tagger, tagged: Tagged, *, top: int, min_score: float, hop_seconds: float,
    as_json: bool, csv: Path | None,
) -> None:
    """Print the tags, as text or as one JSON document, and write the CSV if one is named.

    Raises
    ------
    OSError
        If the CSV cannot be written; the tags are printed nevertheless.
    """
    try:
        if csv is not None:
            write_csv(csv, tagger, tagged.files)
            print(f"  wrote {csv}: {len(tagged.files)} files, {len(tagger.classes)} classes",
                  file=sys.stderr)
    finally:
        if as_json:
            # ASCII, so that names of any bytes and terminals of any encoding are served.
            print(json.dumps(json_document(tagger, tagged, top=top, min_score=min_score,
                                           hop_seconds=hop_seconds), ensure_ascii=True))
        else:
            _print_tables(tagger, tagged, top=top, min_score=min_score)


def _print_tables(tagger: Tagger, tagged: Tagged, *, top: int, min_score: float) -> None:
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    lines = [head(tagger)]
    for tags in tagged.files:
        lines += table(tagger, tags, top=top, min_score=min_score, encoding=encoding)
    for line in lines:
        print(line.encode(encoding, "backslashreplace").decode(encoding))


def check_bad(tagged: Tagged) -> None:
    """List the bad files on stderr.

    Raises
    ------
    BadClipsError
        If there are any.
    """
    if not tagged.problems:
        return
    problems.print_problems(tagged.problems, most=len(tagged.problems))
    n, n_good = len(tagged.problems), len(tagged.files)
    raise BadClipsError(f"{n} bad of {n + n_good}, see above; "
                        + (f"the other {n_good} were tagged" if n_good else "nothing was tagged"))
