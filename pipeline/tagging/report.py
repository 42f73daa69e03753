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
    if found.n_skipped:
        print(f"  note: {found.n_skipped} files in the folders are not audio by their names and "
              "were skipped; name them themselves to try them", file=sys.stderr)


def report(
    tagger: Tagger, tagged: Tagged, *, top: int, min_score: float, hop_seconds: float,
    as_json: bool, csv: Path | None,
) -> None:
    """Print the tags, as text or as one JSON document, and write the CSV if one is named."""
    if csv is not None:
        write_csv(csv, tagger, tagged.files)
        print(f"  wrote {csv}: {len(tagged.files)} files, {len(tagger.classes)} classes",
              file=sys.stderr)
    if as_json:
        # ASCII, so that names of any bytes and terminals of any encoding are served.
        print(json.dumps(json_document(tagger, tagged, top=top, min_score=min_score,
                                       hop_seconds=hop_seconds), indent=1, ensure_ascii=True))
        return
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
    n = len(tagged.problems)
    raise BadClipsError(f"{n} of {n + len(tagged.files)} could not be tagged; "
                        f"{len(tagged.files)} were")
