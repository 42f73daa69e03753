"""A recipe written into params.yaml: what changes, what stays, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pipeline.cli import use
from pipeline.cli.params_file import PARAMS, Params, read_params

ROOT = Path(__file__).parents[3]
RECIPE = """
prepare: {data: data/esc, folds: 5}
features: {mel: {kind: logmel, n_mels: 64}}
runs:
  cnn: {features: mel, epochs: 7}
follow_ups: {next: {follows: cnn, start_from: cnn, features: mel}}
ensemble: {weights: [1, 2.5], runs: [cnn, next]}
submit: {sample: "it's: 1"}
train: {loss: {kind: focal}, learning_rate: 3e-4}
"""


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """Write a recipe beside a copy of the project's params.yaml."""
    monkeypatch.chdir(tmp_path)
    PARAMS.write_text((ROOT / PARAMS).read_text())

    def write(text):
        Path("recipe.yaml").write_text(text)
        return "recipe.yaml"

    return write


def comments(text):
    return [line.partition("#")[2] for line in text.splitlines() if "#" in line]


def test_params_yaml_has_the_values_and_keeps_its_comments(recipe, capsys):
    before, name = PARAMS.read_text(), recipe(RECIPE)
    expected = read_params(Path(name)).sections
    assert use.main([name]) == 0
    after = PARAMS.read_text()
    assert yaml.safe_load(after) == expected
    lost = set(comments(before)) - set(comments(after))
    # Only those of entries that are gone.
    inside = before[before.index("\nfeatures:"):before.index("\nextract:")]
    inside += before[before.index("\nruns:"):before.index("\ntrain:")]
    assert lost <= set(comments(inside))
    shown = capsys.readouterr().out
    for line in ("prepare.folds: 2 -> 5", "runs: cnn", "train.learning_rate: 0.001 -> 3e-4",
                 "git checkout params.yaml"):
        assert line in shown
    assert use.main([name]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert PARAMS.read_text() == after


def test_only_what_differs_is_touched(recipe):
    before = PARAMS.read_text()
    assert use.main([recipe("train: {epochs: 3}\ndemo: {seed: 0}\n")]) == 0
    changed = [(a, b) for a, b in zip(before.splitlines(), PARAMS.read_text().splitlines(),
                                      strict=True) if a != b]
    assert changed == [(line, line.replace("20", "3", 1)) for line in before.splitlines()
                       if line.startswith("  epochs: 20")]


@pytest.mark.parametrize(("text", "message"), [
    ("train: {epoch: 3}\n", "use: recipe.yaml: unknown key train.epoch; did you mean epochs?\n"),
    ("trian: {epochs: 3}\n", "use: recipe.yaml: unknown section trian; did you mean train?\n"),
    ("inspect: {x: 1}\n",
     "use: recipe.yaml: unknown section inspect; inspect is set by flags alone\n"),
    ("extract: {top_db: -1, hop_length: 0}\n", "recipe.yaml: extract.hop_length is 0"),
    ("runs: {a: {features: mfcc, model: cnm}}\n", "recipe.yaml: runs.a.model is 'cnm'"),
])
def test_what_a_stage_refuses_is_not_written(recipe, capsys, text, message):
    before = PARAMS.read_text()
    assert use.main([recipe(text)]) == 2
    assert message in capsys.readouterr().err
    assert PARAMS.read_text() == before


def test_everything_wrong_in_all_runs_is_listed_before_anything_is_written(recipe, capsys):
    before = PARAMS.read_text()
    assert use.main([recipe("""
        features: {mel: {kind: mfcc, n_mfcc: 200}}
        runs:
          a: {features: mel, model: cnn, network: {sise: tiny}}
          b: {features: mel, epochs: 3, schedule: {kind: cosine, cycles: 2}, seconds_max: 1}
          c: {features: mell}
        predict: {nosy: true}
        """)]) == 2
    assert capsys.readouterr().err.split("\n") == [
        "use: features.mel: mfcc: n_mfcc is 200; it cannot exceed n_mels, 128",
        "recipe.yaml: unknown key predict.nosy; did you mean noisy?",
        "recipe.yaml: runs.a.network.sise is no setting of cnn; did you mean size?",
        "recipe.yaml: runs.b.seconds_max: 1.0 is less than train.seconds: 2.0",
        "recipe.yaml: runs.b.schedule.cycles is 2: needs a divisor of the number of epochs, 3",
        "recipe.yaml: runs.c.features is 'mell': no such feature; did you mean mel?",
        "",
    ]
    assert PARAMS.read_text() == before


def test_a_recipe_that_is_missing_and_a_folder_without_params(recipe, capsys):
    assert use.main(["none.yaml"]) == 2
    assert "none.yaml: no such file" in capsys.readouterr().err
    PARAMS.unlink()
    assert use.main([recipe("")]) == 2
    assert "the current folder has no params.yaml" in capsys.readouterr().err


@pytest.mark.parametrize("base", [
    "a:\n  x: 1   # one\n  y:\n  z: [1,\n    2]\n\n# of runs\nruns:\n  b: {c: 1}\n\n# end\n",
    "a: {x: 1, y: null, z: {k: [1]}}\nruns: {}\n",
    "runs:\n  b:\n    c:\n      - 1\n      - 2\na:\n  x: 'one'\n  y: |\n    text\n  z: 3\n",
])
@pytest.mark.parametrize("own", [
    {"a": {"x": "é: #", "y": [1, None, {"k": "v"}], "z": {}}},
    {"a": {"y": 5}, "runs": {"v1.2": {"features": "yes"}, "n": None}}, {"runs": {}},
])
def test_every_form_of_yaml_can_be_rewritten(base, own):
    below = yaml.safe_load(base)
    sections = {k: own.get(k, v) if k == "runs" else {**v, **own.get(k, {})}
                for k, v in below.items()}
    text, _ = use.rewrite(base, Params(Path("r.yaml"), PARAMS, sections, own))
    assert yaml.safe_load(text) == sections
    assert text.endswith("# end\n") == base.endswith("# end\n")


def test_aliases_are_refused_and_nothing_is_written(recipe, capsys):
    text = PARAMS.read_text().replace("  seed: 0\n  curated", "  seed: &seed 0\n  curated")
    text = text.replace("  seed: 0\n  drop_known", "  seed: *seed\n  drop_known")
    assert "&seed" in text
    assert "*seed" in text
    PARAMS.write_text(text)
    assert use.main([recipe("demo: {seed: 1}\n")]) == 2
    assert "params.yaml: cannot be rewritten" in capsys.readouterr().err
    assert PARAMS.read_text() == text
