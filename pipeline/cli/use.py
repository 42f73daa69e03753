"""Write a recipe into params.yaml, so that `dvc repro` runs it.

  python -m pipeline.cli.use recipes/esc10.yaml && dvc repro
  git checkout params.yaml                                    go back

A recipe is a settings file that holds only what differs; the stages take it by ``--params``. DVC
reads params.yaml alone. The values of params.yaml are replaced where the recipe has others, and its
comments stay. Run it from the project's folder. Go back before another recipe: what one recipe has
changed and the next one does not mention would stay.

exit codes: 0 done or nothing to do, 2 an unknown key or a value that a stage refuses
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.cli.declaration import fields_of
from pipeline.cli.markers import Positional
from pipeline.cli.params_file import (
    NAMED_SECTIONS,
    PARAMS,
    Params,
    read_params,
    stage_names,
)
from pipeline.cli.settings import parse
from pipeline.runtime.errors import PipelineError, UsageError
from pipeline.runtime.files import atomic_write


class _Edit(NamedTuple):
    """Characters `start` to `stop` of params.yaml, which `text` replaces."""

    start: int
    stop: int
    text: str
    line: str  # for the user


def check(path: Path) -> Params:
    """Check a recipe as every stage does.

    Raises
    ------
    UsageError
        Lists what the stages refuse, each error once.
    """
    params, errors = read_params(path), dict[str, None]()
    for name in stage_names():
        # By name: a stage is a file, and nothing below knows which there are.
        settings_class = importlib.import_module(f"pipeline.{name}").Settings
        words = [str((*field.shape.choices, "x")[0])
                 for field in fields_of(settings_class).values() if field.marker(Positional)]
        try:
            parse(name, settings_class, "", ["--params", str(path), *words])
        except UsageError as error:
            errors |= dict.fromkeys(str(error).split("\n"))
    if errors:
        raise UsageError("\n".join(errors))
    return params


def rewrite(text: str, params: Params) -> tuple[str, list[str]]:
    """Return params.yaml with the values of a recipe, and a line per change.

    Parameters
    ----------
    text : str
        Of params.yaml.
    params : Params
        From :func:`check`.

    Returns
    -------
    text : str
    lines : list of str

    Raises
    ------
    UsageError
        If params.yaml is written in a way that this does not understand, such as with aliases.
    """
    import yaml

    edits = sorted(_edits(text, params))
    result = text
    for edit in reversed(edits):
        result = result[:edit.start] + edit.text + result[edit.stop:]
    try:
        is_right = yaml.safe_load(result) == params.sections
    except yaml.YAMLError:
        is_right = False
    if not is_right:
        raise UsageError(f"{params.base}: cannot be rewritten; is it all plain YAML, without "
                         "anchors and aliases? The stages take the recipe by --params")
    return result, [edit.line for edit in edits]


def _edits(text: str, params: Params) -> Iterator[_Edit]:
    import yaml

    values, root = yaml.safe_load(text), yaml.compose(text, yaml.SafeLoader)
    for section_key, node in root.value if root else ():
        section, own = section_key.value, params.own.get(section_key.value)
        if own is None:
            continue
        if section in NAMED_SECTIONS:
            if own != values[section]:
                entries = "".join(f"\n  {_flow(name)}: {_flow(each)}" for name, each in own.items())
                yield _Edit(section_key.end_mark.index + 1, _stop(node), entries or " {}",
                            f"{section}: {', '.join(map(str, own)) or '(none)'}")
            continue
        for key, each in node.value:
            if key.value in own and own[key.value] != values[section][key.value]:
                new, gap = _flow(own[key.value]), " " * (each.start_mark == each.end_mark)
                start = each.start_mark.index
                # A block of text ends after its line break.
                stop = start + len(text[start:_stop(each)].rstrip())
                yield _Edit(start, stop, gap + new,
                            f"{section}.{key.value}: {_flow(values[section][key.value])} -> {new}")


def _stop(node: Any) -> int:
    """Where a value ends; a block's own mark is after the comments that follow it."""
    import yaml

    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _stop(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)


def _flow(value: Any) -> str:
    """A value on one line of YAML."""
    import yaml

    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6,
                          allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def main(argv: list[str] | None = None) -> int:
    """Check the recipe, rewrite params.yaml and say what has changed; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.cli.use", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path, help="settings file, such as recipes/esc10.yaml")
    recipe: Path = parser.parse_args(argv).recipe
    try:
        if not PARAMS.exists():
            raise UsageError("the current folder has no params.yaml; run from the project's folder")
        params = check(recipe)
        text, lines = rewrite(PARAMS.read_text(encoding="utf-8"), params)
    except PipelineError as error:
        print(f"use: {error}", file=sys.stderr)
        return error.exit_code
    if not lines:
        print(f"use: nothing to do: {PARAMS} has the values of {recipe} already")
        return 0
    with atomic_write(PARAMS) as partial:
        partial.write_text(text, encoding="utf-8")
    print(f"{PARAMS} has the values of {recipe} now:", *lines, sep="\n  ")
    print("`dvc repro` runs them; `git checkout params.yaml` goes back")
    return 0


if __name__ == "__main__":
    sys.exit(main())
