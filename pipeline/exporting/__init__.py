"""Write one model file with the front end inside, and open it: waveform in, tag scores out.

``exported_model`` and ``description`` can be imported, and models in LiteRT's and ONNX's formats
opened, without TensorFlow; the other modules need it.

May import: runtime, audio, store, dataset, batching, extraction, runs, ensembling, features,
signal, kernels, training_data, training.
"""
