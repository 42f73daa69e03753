"""A competition's files, by Kaggle's own client and the user's own token.

kagglehub resumes, verifies and unpacks by itself. It is the only client that is supported.
"""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.runtime.errors import PipelineError, UsageError

INSTALL = "pip install '.[kaggle]' (or: pip install kagglehub)"
TOKEN = (
    "Make one at https://www.kaggle.com/settings and put it into ~/.kaggle/access_token (a legacy "
    "kaggle.json into ~/.kaggle), or set KAGGLE_API_TOKEN"
)


def download_competition(competition: str, folder: Path) -> Path:
    """Download and unpack all files of a competition.

    Parameters
    ----------
    competition : str
        As in its address.
    folder : Path
        Where kagglehub keeps what it downloads.

    Returns
    -------
    Path
        The folder of the competition's files, within `folder`.

    Raises
    ------
    UsageError
        If kagglehub or the token is missing.
    PipelineError
        If Kaggle refuses or the download fails.
    """
    os.environ["KAGGLEHUB_CACHE"] = str(folder.resolve())
    try:
        import kagglehub
        from kagglehub import exceptions
        from requests import RequestException
    except ImportError as error:
        raise UsageError(f"--source kaggle needs kagglehub ({error}): {INSTALL}") from None
    try:
        return Path(kagglehub.competition_download(competition))
    except exceptions.UnauthenticatedError:
        raise UsageError(f"no Kaggle token was found. {TOKEN}") from None
    except (exceptions.CredentialError, exceptions.DataCorruptionError, exceptions.NotFoundError,
            RequestException, ValueError) as error:
        text = " ".join(str(error).split())
        rules = (f" Accept the rules at https://www.kaggle.com/c/{competition}/rules first."
                 if "403" in text else "")
        raise PipelineError(f"Kaggle: {text}.{rules} To resume, run the command again") from None
