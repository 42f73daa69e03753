"""The stages: each file is one, run as ``python -m pipeline.NAME``; each folder is a library.

May import: cli, runtime, audio, store, dataset, survey, batching, extraction, runs, scoring,
ensembling, submitting, diagnostics, pseudo_labelling, training_data, training, exporting,
tagging, reports, synthesis, published, features, signal, models.
"""
