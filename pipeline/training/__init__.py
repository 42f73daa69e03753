"""Train and predict with Keras, from a store to scores.

``train_run``, ``predict_run`` and what these import can be imported without TensorFlow; the other
modules need it.

May import: runtime, store, dataset, batching, runs, scoring, pseudo_labelling,
training_data, features, kernels, models.
"""
