"""How a training goes, for people: a bar within the epoch on a terminal, a line after each."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from tqdm import tqdm


class EpochDisplay:
    """A table that grows by a row an epoch.

    Parameters
    ----------
    fold : int
    epochs : int
        The most there can be.
    alone : bool
        Whether this is the only fold under way: then there is a bar on a terminal, and no row
        needs to say which fold it is of.
    """

    def __init__(self, fold: int, epochs: int, *, alone: bool) -> None:
        self._fold = f"fold {fold}: "
        self._epochs, self._alone = epochs, alone
        self._width = max(len("epoch"), 2 * len(str(epochs)) + 1)
        self._headed = False

    def say(self, text: str) -> None:
        """A line of text."""
        self._write(self._fold + text)

    def bar(self, epoch: int, n_batches: int) -> Any:
        """A progress bar over an epoch's batches, to be updated and closed."""
        return tqdm(
            total=n_batches, disable=not (self._alone and sys.stderr.isatty()), leave=False,
            desc=f"  epoch {epoch}/{self._epochs}", unit="batch", dynamic_ncols=True,
        )

    def row(self, values: Mapping[str, float], seconds: float, *, best: bool) -> None:
        """One epoch: its number, what was measured, how long it took, whether it is the best."""
        names = [name for name in values if name != "epoch"]
        if not self._headed:
            self._cells([f"{'epoch':>{self._width}}", *(f"{n:>12}" for n in names),
                         f"{'seconds':>8}"])
            self._headed = True
        epoch = f"{int(values['epoch'])}/{self._epochs}"
        self._cells([f"{epoch:>{self._width}}", *(f"{values[n]:12.4f}" for n in names),
                     f"{seconds:8.1f}", *([" * best"] if best else [])])

    def _cells(self, cells: list[str]) -> None:
        self._write(("" if self._alone else self._fold) + " ".join(cells))

    @staticmethod
    def _write(line: str) -> None:
        # In one piece: several processes may write to one terminal.
        sys.stdout.write(f"  {line}\n")
        sys.stdout.flush()
