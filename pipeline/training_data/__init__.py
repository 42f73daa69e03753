"""Clips of a fold, from labels and a store to batches with targets. NumPy only, no Keras.

May import: runtime, store, dataset, batching, runs, pseudo_labelling.
"""
