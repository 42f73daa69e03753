"""Measure whole runs, and find why they score so: calibration, hard clips, label errors, gains.

May import: runtime, dataset, runs, scoring, ensembling.
"""
