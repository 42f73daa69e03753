"""Every layout in the table, from its own names: a new one is covered by being there."""

import pytest

from pipeline.dataset.layouts import LAYOUTS, locate
from pipeline.dataset.tables import LAYOUTS as KNOWN


def touch(root, layout, released):
    """The tables and folders of a layout, with the columns that identify it."""
    place = root / layout.meta if released else root
    place.mkdir(parents=True, exist_ok=True)
    for names in layout.splits:
        header = ("fname", *layout.marks.get(names.tables[0], ("labels",)))
        (place / names.tables[0]).write_text(",".join(dict.fromkeys(header)) + "\n")
        (root / names.folders[released]).mkdir()


def test_there_are_layouts():
    assert set(LAYOUTS) | {"csv"} == set(KNOWN)
    assert all(name == layout.name for name, layout in LAYOUTS.items())


@pytest.mark.parametrize("released", [False, True])
@pytest.mark.parametrize("name", LAYOUTS)
def test_each_layout_is_found_by_its_names(tmp_path, name, released):
    layout, root = LAYOUTS[name], tmp_path / "data"
    touch(root, layout, released)
    if released and set(layout.splits[0].tables[:1]) <= set(layout.shared):
        # A release names its first table otherwise; the shared name does not identify it there.
        (root / layout.meta / layout.splits[0].tables[1]).write_text("fname,labels\n")
    found = locate(root)
    assert found.layout == name
    assert [part.split for part in found.parts] == [names.split for names in layout.splits]
    for part, names in zip(found.parts, layout.splits, strict=True):
        assert part.table is not None
        assert part.folder == names.folders[released]
        assert part.has_folder


@pytest.mark.parametrize("name", LAYOUTS)
def test_each_layouts_table_is_sound(name):
    layout = LAYOUTS[name]
    tables = [table for names in layout.splits for table in names.tables]
    assert len(tables) == len(set(tables))
    assert set(layout.shared) <= set(tables)
    assert set(layout.marks) <= set(layout.shared)
    assert set(tables) - set(layout.shared)  # something identifies it
    assert all(layout.known_bad.values())
