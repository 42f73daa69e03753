"""The numbers that the compiled loops are held to, in plain NumPy."""

from __future__ import annotations

# librosa.power_to_db's floor of power, -100 dB.
AMIN = 1e-10
