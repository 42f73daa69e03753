"""setup.cfg and constraints.txt agree: what is asked for is pinned, within its bounds."""

import configparser
import re
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]

setup = configparser.ConfigParser()
setup.read(ROOT / "setup.cfg")
GROUPS = {"base": setup["options"]["install_requires"], **setup["options.extras_require"]}
PINS = [Requirement(line) for line in (ROOT / "constraints.txt").read_text().splitlines()
        if not line.startswith("#")]


def requirements(group):
    lines = re.sub(r"#.*", "", GROUPS[group]).split("\n")
    return [Requirement(line) for line in lines if line.strip()]


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_every_requirement_is_pinned_once_within_its_bounds(python):
    environment = {**default_environment(), "python_version": python,
                   "python_full_version": f"{python}.0"}
    pins = {}
    for pin in PINS:
        if pin.marker is None or pin.marker.evaluate(environment):
            name = canonicalize_name(pin.name)
            assert name not in pins, f"{pin} is pinned twice"
            (only,) = pin.specifier
            assert only.operator == "==", f"{pin} is no version"
            pins[name] = only.version
    for group in GROUPS:
        for wanted in requirements(group):
            version = pins.get(canonicalize_name(wanted.name))
            assert version, f"{wanted} of {group} is not in constraints.txt: make lock"
            assert wanted.specifier.contains(version), f"{wanted} of {group}: {version} is pinned"


def test_constraints_name_no_place_to_install_from():
    text = (ROOT / "constraints.txt").read_text()
    assert not re.search(r"://|@|--", text)
