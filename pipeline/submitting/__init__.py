"""From test scores to submission.csv in the form of a sample, checked.

May import: runtime, runs, ensembling.
"""
