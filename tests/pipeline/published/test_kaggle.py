"""Kaggle's client: called with the competition, and its errors in words that help.

No test reaches Kaggle. A module with the same names stands for kagglehub, which need not be
installed; that kagglehub has these names is tested where it is.
"""

import os
import sys
import types
from pathlib import Path

import pytest

from pipeline.published import kaggle
from pipeline.runtime.errors import PipelineError, UsageError

EXCEPTIONS = ("UnauthenticatedError", "CredentialError", "DataCorruptionError", "NotFoundError")


@pytest.fixture
def client(monkeypatch):
    """Install a kagglehub whose download is `client.answer`."""
    monkeypatch.setenv("KAGGLEHUB_CACHE", "before")
    module = types.ModuleType("kagglehub")
    module.exceptions = types.ModuleType("kagglehub.exceptions")
    for name in EXCEPTIONS:
        setattr(module.exceptions, name, type(name, (Exception,), {}))
    module.competition_download = lambda competition: module.answer(competition)
    requests = types.ModuleType("requests")
    requests.RequestException = type("RequestException", (OSError,), {})
    for name, each in (("kagglehub", module), ("kagglehub.exceptions", module.exceptions),
                       ("requests", requests)):
        monkeypatch.setitem(sys.modules, name, each)
    module.RequestException = requests.RequestException
    return module


def test_the_client_downloads_into_the_given_folder(client, tmp_path):
    def answer(competition):
        folder = Path(os.environ["KAGGLEHUB_CACHE"]) / competition
        folder.mkdir()
        return str(folder)

    client.answer = answer
    assert kaggle.download_competition("a-competition", tmp_path) == tmp_path / "a-competition"


def test_a_missing_client_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(UsageError, match=r"needs kagglehub.*pip install kagglehub"):
        kaggle.download_competition("a", tmp_path)


def test_a_missing_token_says_where_it_goes(client, tmp_path):
    def answer(competition):
        raise client.exceptions.UnauthenticatedError("User is not authenticated")

    client.answer = answer
    with pytest.raises(UsageError, match=r"kaggle\.com/settings.*access_token.*KAGGLE_API_TOKEN"):
        kaggle.download_competition("a", tmp_path)


@pytest.mark.parametrize("name", [*EXCEPTIONS[1:], "RequestException"])
def test_the_clients_errors_are_passed_on_in_one_line(client, tmp_path, name):
    kind = getattr(client.exceptions, name, None) or client.RequestException

    def answer(competition):
        raise kind("403 Client Error.\n\nYou don't have permission")

    client.answer = answer
    with pytest.raises(PipelineError) as caught:
        kaggle.download_competition("some-competition", tmp_path)
    text = str(caught.value)
    assert "403 Client Error. You don't have permission" in text
    assert "Accept the rules at https://www.kaggle.com/c/some-competition/rules" in text
    assert "\n" not in text


def test_rules_are_mentioned_only_where_kaggle_refuses(client, tmp_path):
    def answer(competition):
        raise client.RequestException("no route to host")

    client.answer = answer
    with pytest.raises(PipelineError, match="no route to host") as caught:
        kaggle.download_competition("some-competition", tmp_path)
    assert "rules" not in str(caught.value)


def test_the_real_client_has_what_is_used():
    kagglehub = pytest.importorskip("kagglehub")
    assert callable(kagglehub.competition_download)
    assert all(hasattr(kagglehub.exceptions, name) for name in EXCEPTIONS)
