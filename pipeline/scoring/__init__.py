"""Scores in; measures, ensembles, figures and submissions out.

May import: runtime, dataset, runs.
"""
