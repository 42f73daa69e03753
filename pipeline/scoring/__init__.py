"""Scores in; measures and figures out.

May import: runtime, dataset, runs.
"""
