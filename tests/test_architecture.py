"""The house: a file is a stage or a feature, a folder imports what its docstring says.

The rules are functions of a folder, so that each is shown to fail on a made-up bad one.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("features", "models", "pipeline")

# The stages that may load TensorFlow, and those that may draw with librosa.
TRAINING = {"pipeline.train", "pipeline.predict", "pipeline.export", "pipeline.tag"}
DRAWING = {"pipeline.inspect"}
NETWORK = {"urllib.request", "http.client", "requests", "kagglehub"}


@cache
def parsed(text: str) -> ast.Module:
    """The syntax tree of a text, not to be changed; one tree for every rule."""
    return ast.parse(text)


def read(root: Path) -> dict[str, ast.Module]:
    """The syntax tree of every module, by its dotted name."""
    return {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"):
            parsed(path.read_text(encoding="utf-8"))
        for package in PACKAGES for path in sorted((root / package).rglob("*.py"))
    }


@cache
def imported(name: str, tree: ast.Module) -> tuple[str, ...]:
    """Everything that a module imports, wherever in it, `from a import b` as ``a.b``."""
    return tuple(_imported(name, tree))


def _imported(name: str, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = name.split(".")[:-node.level] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif (
            isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module")
            and node.args and isinstance(node.args[0], ast.Constant)
        ):
            yield node.args[0].value


def within(name: str, packages: set[str]) -> bool:
    return any(name == each or name.startswith(each + ".") for each in packages)


def is_stage(tree: ast.Module) -> bool:
    """Whether a module ends in ``stage.main(...)``."""
    return any(
        isinstance(node, ast.Call) and ast.unparse(node.func) == "stage.main"
        for node in ast.walk(tree)
    )


def stages(root: Path) -> list[str]:
    return [name for name, tree in read(root).items() if is_stage(tree)]


def own_imports(modules: dict[str, ast.Module]) -> dict[str, set[str]]:
    """The modules of the project that each module imports."""
    return {
        name: {known for target in imported(name, tree)
               for known in (target, target.rpartition(".")[0])
               if known in modules and known not in PACKAGES}
        for name, tree in modules.items()
    }


def used_by_alone(modules: dict[str, ast.Module], users: set[str]) -> set[str]:
    """`users`, and the modules of the pipeline that nobody imports but they and one another."""
    edges = own_imports(modules)
    allowed = {name for name in modules if name.startswith("pipeline.")}
    while True:
        kept = {
            name for name in allowed
            if name in users or (
                (importers := {each for each in edges if name in edges[each] and each != name})
                and importers <= allowed
            )
        }
        # A ring that nobody enters imports itself: only what the users reach counts.
        reached, border = set(users), set(users)
        while border:
            border = {t for each in border for t in edges.get(each, ()) if t in kept} - reached
            reached |= border
        kept &= reached
        if kept == allowed:
            return allowed
        allowed = kept


def package_of(name: str, modules: dict[str, ast.Module], root: Path) -> str:
    """The folder that a module stands in; a package stands in itself."""
    is_package = (root / Path(*name.split("."))).is_dir()
    return name if is_package else name.rpartition(".")[0]


def declared(root: Path) -> dict[str, set[str] | None]:
    """What each folder's docstring lets it import, as dotted names; None if it does not say."""
    modules, allowed = read(root), {}
    folders = {package_of(name, modules, root) for name in modules}
    for folder in folders:
        doc = ast.get_docstring(modules[folder]) if folder in modules else None
        found = re.search(r"^May import: (.+?)\.$", doc or "", re.DOTALL | re.MULTILINE)
        if not found:
            allowed[folder] = None
            continue
        text = found[1].replace("nothing of this project", "")
        allowed[folder] = {
            next((f for f in (f"{folder}.{word}", f"{folder.partition('.')[0]}.{word}", word)
                  if f in folders), word)
            for word in re.findall(r"\w+", text)
        }
    return allowed


def undeclared_imports(root: Path) -> list[str]:
    """Imports of a folder that its docstring does not name."""
    modules, allowed, found = read(root), declared(root), []
    for name, targets in own_imports(modules).items():
        folder = package_of(name, modules, root)
        if (may := allowed[folder]) is None:
            found.append(f"{folder} does not say what it may import")
            continue
        # `from a.b import c` imports a.b too, which stands for c then.
        packages = {t.rpartition(".")[0] for t in targets}
        for target in sorted(targets - packages):
            home = package_of(target, modules, root)
            stage_file = folder == home == "pipeline"  # for another law
            if home != folder and not within(home, may) and not stage_file:
                found.append(f"{name} imports {target}")
    return list(dict.fromkeys(found))


def circles(root: Path) -> list[str]:
    """Folders that may import what may import them."""
    allowed = {folder: set(may or ()) for folder, may in declared(root).items()}
    for folder in sorted(allowed):
        reached, border = set(), set(allowed[folder])
        while border:
            reached |= border
            border = {t for each in border for t in allowed.get(each, ())} - reached
        if folder in reached:
            return [f"{folder} may import itself by way of others"]
    return []


def not_stages(root: Path) -> list[str]:
    """Files in pipeline/ that are no stage."""
    return [
        f"{name} is no stage" for name, tree in read(root).items()
        if package_of(name, {}, root) == "pipeline" and name != "pipeline" and not is_stage(tree)
    ]


def not_features(root: Path) -> list[str]:
    """Files in features/ that are no feature: a feature has a version of its numbers."""
    return [
        f"{name} is no feature" for name, tree in read(root).items()
        if package_of(name, {}, root) == "features" and name not in ("features", "features.base")
        and not any(ast.unparse(node).startswith("version = ") for node in ast.walk(tree)
                    if isinstance(node, ast.Assign))
    ]


def imported_stages(root: Path) -> list[str]:
    """Imports of stages: what two of them need is a noun of its own."""
    files = set(stages(root))
    return [
        f"{name} imports {target}" for name, targets in own_imports(read(root)).items()
        for target in sorted(targets & files)
    ]


def strays(root: Path, libraries: set[str], home: set[str], users: set[str] = frozenset()):
    """Imports of `libraries` outside `home` (modules or packages) and what `users` alone use."""
    modules = read(root)
    allowed = home | used_by_alone(modules, users & set(modules))
    return [
        f"{name} imports {target}" for name, tree in modules.items() if not within(name, allowed)
        for target in imported(name, tree) if within(target, libraries)
    ]


RULES = {
    "a file in pipeline/ is a stage": not_stages,
    "a file in features/ is a feature": not_features,
    "a folder imports what its docstring says": undeclared_imports,
    "no two folders may import each other": circles,
    "nothing imports a stage": imported_stages,
    "audio is decoded and resampled in one place":
        lambda root: strays(root, {"soundfile", "soxr"}, {"pipeline.audio"}),
    "HDF5 is read and written in one place":
        lambda root: strays(root, {"h5py"}, {"pipeline.store.hdf5"}),
    "TensorFlow is for training alone":
        lambda root: strays(root, {"tensorflow", "keras", "models"}, {"models"}, TRAINING),
    "compiled loops are declared in one place":
        lambda root: strays(root, {"numba", "llvmlite"}, {"features.kernels"}),
    "the network is used in one place":
        lambda root: strays(root, NETWORK, {"pipeline.published"}),
    "librosa is for drawing alone":
        lambda root: strays(root, {"librosa"}, set(), DRAWING),
}

# A module that breaks each rule, and what is said of it.
BROKEN = [
    ("a file in pipeline/ is a stage", "pipeline/x.py", "y = 1", "pipeline.x is no stage"),
    ("a file in features/ is a feature", "features/x.py", "y = 1", "features.x is no feature"),
    ("a folder imports what its docstring says", "features/signal/x.py",
     "from pipeline.audio import decode", "features.signal.x imports pipeline.audio.decode"),
    ("a folder imports what its docstring says", "features/signal/x.py",
     "def f():\n    from models import build", "features.signal.x imports models.build"),
    ("a folder imports what its docstring says", "features/signal/x.py",
     "import importlib\nimportlib.import_module('pipeline.audio.decode')",
     "features.signal.x imports pipeline.audio.decode"),
    ("a folder imports what its docstring says", "models/x.py",
     "import features.signal.mel as mel", "models.x imports features.signal.mel"),
    ("a folder imports what its docstring says", "models/x.py",
     "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pipeline.store.hdf5",
     "models.x imports pipeline.store.hdf5"),
    ("a folder imports what its docstring says", "pipeline/audio/x.py",
     "from ..store import hdf5", "pipeline.audio.x imports pipeline.store.hdf5"),
    ("a folder imports what its docstring says", "pipeline/store/__init__.py",
     '"""HDF5."""', "pipeline.store does not say what it may import"),
    ("no two folders may import each other", "pipeline/audio/__init__.py",
     '"""Audio.\n\nMay import: runtime, store.\n"""',
     "pipeline.audio may import itself by way of others"),
    ("nothing imports a stage", "pipeline/store/x.py",
     "from pipeline.extract import load", "pipeline.store.x imports pipeline.extract"),
    ("nothing imports a stage", "pipeline/store/x.py",
     "from pipeline import extract", "pipeline.store.x imports pipeline.extract"),
    ("nothing imports a stage", "pipeline/predict.py",
     "from . import extract", "pipeline.predict imports pipeline.extract"),
    ("audio is decoded and resampled in one place", "pipeline/x.py",
     "import soundfile", "pipeline.x imports soundfile"),
    ("audio is decoded and resampled in one place", "features/x.py",
     "from soxr import resample", "features.x imports soxr.resample"),
    ("HDF5 is read and written in one place", "pipeline/x.py",
     "def f():\n    import h5py", "pipeline.x imports h5py"),
    ("TensorFlow is for training alone", "pipeline/x.py",
     "import tensorflow as tf", "pipeline.x imports tensorflow"),
    ("TensorFlow is for training alone", "pipeline/x.py",
     "from models.build import build", "pipeline.x imports models.build.build"),
    # Used by train, but by extract too.
    ("TensorFlow is for training alone", "pipeline/runtime/shared.py",
     "import keras", "pipeline.runtime.shared imports keras"),
    ("compiled loops are declared in one place", "pipeline/x.py",
     "from numba import njit", "pipeline.x imports numba.njit"),
    ("the network is used in one place", "pipeline/x.py",
     "from urllib.request import urlopen", "pipeline.x imports urllib.request.urlopen"),
    ("librosa is for drawing alone", "features/x.py",
     "import librosa.filters", "features.x imports librosa.filters"),
    ("librosa is for drawing alone", "pipeline/train.py",
     "import librosa", "pipeline.train imports librosa"),
]


@pytest.fixture
def sound(tmp_path):
    """A folder that keeps every rule."""
    modules = {
        "features/__init__.py": '"""Features.\n\nMay import: signal.\n"""',
        "features/logmel.py": "from features.signal import mel\nclass LogMel:\n    version = 1",
        "features/signal/__init__.py": '"""Mel.\n\nMay import: nothing of this project.\n"""',
        "features/signal/mel.py": "import numpy as np",
        "models/__init__.py": '"""Keras.\n\nMay import: nothing of this project.\n"""',
        "models/build.py": "import keras\nimport tensorflow as tf",
        "pipeline/__init__.py":
            '"""Stages.\n\nMay import: runtime, audio, store,\nfeatures, training, signal.\n"""',
        "pipeline/runtime/__init__.py": '"""All.\n\nMay import: nothing of this project.\n"""',
        "pipeline/runtime/stage.py": "",
        "pipeline/runtime/shared.py": "import numpy as np",
        "pipeline/audio/__init__.py": '"""Audio.\n\nMay import: runtime.\n"""',
        "pipeline/audio/decode.py": "import soundfile, soxr",
        "pipeline/store/__init__.py": '"""HDF5.\n\nMay import: runtime, audio.\n"""',
        "pipeline/store/hdf5.py": "import h5py",
        "pipeline/store/drawing.py": "import librosa.display",
        "pipeline/training/__init__.py": '"""Keras.\n\nMay import: models.\n"""',
        "pipeline/training/fitting.py": "import keras\nfrom models.build import build",
        "pipeline/inspect.py": """
            from pipeline.runtime import stage

            def run(settings):
                from pipeline.store import drawing

            stage.main("inspect")
        """,
        "pipeline/extract.py": """
            from pipeline.runtime import shared, stage
            from features.signal.mel import mel_filters

            stage.main("extract")
        """,
        "pipeline/train.py": """
            from pipeline.runtime import shared, stage

            def run(settings):
                from pipeline.training import fitting

            stage.main("train")
        """,
    }
    for name, text in modules.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(textwrap.dedent(text))
    return tmp_path


@pytest.mark.parametrize("rule", RULES)
def test_the_project_keeps_the_rule(rule):
    assert RULES[rule](ROOT) == []


@pytest.mark.parametrize("rule", RULES)
def test_a_sound_folder_keeps_the_rule(sound, rule):
    assert RULES[rule](sound) == []


@pytest.mark.parametrize(("rule", "path", "text", "message"), BROKEN)
def test_a_broken_rule_is_seen(sound, rule, path, text, message):
    (sound / path).write_text(text)
    assert RULES[rule](sound) == [message]


def test_every_rule_is_shown_to_fail():
    assert {rule for rule, *_ in BROKEN} == set(RULES)


def test_a_module_for_training_that_extract_comes_to_use_is_seen(sound):
    extract = sound / "pipeline/extract.py"
    extract.write_text(extract.read_text() + "\nimport pipeline.training.fitting\n")
    assert RULES["TensorFlow is for training alone"](sound) == [
        "pipeline.training.fitting imports keras",
        "pipeline.training.fitting imports models.build.build",
    ]


def test_modules_that_only_import_each_other_belong_to_nobody(sound):
    (sound / "pipeline/a.py").write_text("import keras, pipeline.b")
    (sound / "pipeline/b.py").write_text("import pipeline.a")
    assert RULES["TensorFlow is for training alone"](sound) == ["pipeline.a imports keras"]


def test_the_stages_are_found(sound):
    assert stages(sound) == ["pipeline.extract", "pipeline.inspect", "pipeline.train"]
    assert {"pipeline.extract", "pipeline.inspect", "pipeline.prepare"} <= set(stages(ROOT))


def loaded(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has after some code."""
    process = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules, file=sys.stderr)"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    )
    return {name.partition(".")[0] for name in process.stderr.split()}


def help_of(module: str) -> str:
    """Code that shows a stage's --help as ``python -m`` does."""
    return textwrap.dedent(f"""
        import runpy, sys
        sys.argv = ["stage", "--help"]
        try:
            runpy.run_module({module!r}, run_name="__main__", alter_sys=True)
        except SystemExit as stop:
            assert stop.code == 0
        else:
            raise AssertionError("no help")
    """)


def test_what_is_loaded_is_seen():
    assert {"json", "numpy"} <= loaded("import json, numpy.fft")
    assert "numpy" not in loaded("import json")


def test_extracting_loads_nothing_that_it_does_not_need():
    code = "import pipeline.extract, pipeline.extraction.run, pipeline.extraction.worker"
    heavy = {"tensorflow", "keras", "librosa", "pandas", "sklearn", "matplotlib", "pydantic"}
    modules = loaded(code)
    assert {"numpy", "h5py", "soundfile", "soxr"} <= modules
    # Numba is for the workers, once there is a clip to extract.
    assert not (heavy | {"numba", "scipy"}) & modules


def test_training_loads_scikit_learn_and_pandas_in_no_process():
    code = ("import pipeline.train, pipeline.training.train_run, pipeline.training_data.fold_data, "
            "pipeline.training.predict_run")
    modules = loaded(code)
    assert {"numpy", "h5py", "joblib"} <= modules
    assert not {"sklearn", "pandas", "matplotlib", "librosa", "tensorflow", "keras"} & modules


def test_tagging_with_an_exported_model_and_decoding_need_no_tensorflow():
    code = ("import pipeline.tag, pipeline.tagging.exported, pipeline.tagging.tag_files, "
            "pipeline.tagging.report")
    modules = loaded(code)
    assert {"numpy", "soundfile", "joblib"} <= modules
    assert not {"tensorflow", "keras", "librosa", "numba"} & modules


def test_features_are_computed_without_librosa():
    code = (
        "import numpy as np\n"
        "from features import logmel, mfcc, waveform\n"
        "from features.signal import silence\n"
        "y = np.ones(5000, np.float32)\n"
        "for f in (logmel.LogMel(), mfcc.Mfcc(), waveform.Waveform(), silence.trim): f(y)"
    )
    modules = loaded(code)
    assert "numba" in modules
    assert not {"librosa", "soundfile", "h5py", "pandas", "pipeline"} & modules


@pytest.mark.parametrize("stage", stages(ROOT))
def test_help_is_instant(stage):
    modules = loaded(help_of(stage))
    assert "pipeline" in modules
    heavy = {"numpy", "scipy", "h5py", "pandas", "tensorflow", "keras", "joblib", "pydantic",
             "sklearn", "matplotlib", "librosa"}
    assert not heavy & modules


def test_help_that_is_slow_is_seen(tmp_path):
    (tmp_path / "slow.py").write_text("import numpy, sys\nsys.exit(0)")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n" + help_of("slow")
    assert "numpy" in loaded(code)
