"""Why runs score as they do: calibration, confusions, hard clips, likely label errors, gains.

May import: runtime, dataset, runs, scoring.
"""
