"""Scores in; measures, figures and pseudo-labels out.

May import: runtime, dataset, runs.
"""
