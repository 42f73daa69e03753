"""Combine scores of several models into those of one: of a run's folds, and of several runs.

May import: runtime, dataset, runs, scoring.
"""
