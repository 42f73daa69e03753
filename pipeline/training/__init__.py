"""Train and predict with Keras, from a store to scores.

May import: runtime, store, dataset, batching, runs, scoring, features, models.
"""
