"""The folder RUNS/NAME: records and scores. The only package that knows its layout.

May import: runtime, store, dataset.
"""
