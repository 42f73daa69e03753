"""Random changes of training crops: one layer per method, chosen in :mod:`.table`.

They act in the graph of a training step, on features in the store's units, before the network
normalizes them. What chooses frames is no part of it: see :mod:`pipeline.batching.crops`.

May import: models.
"""
