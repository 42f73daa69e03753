"""The stages: each file is one, run as ``python -m pipeline.NAME``; each folder is a library.

May import: cli, runtime, audio, store, dataset, batching, extraction, runs, scoring, training,
exporting, synthesis, features, signal, models, tagging.
"""
