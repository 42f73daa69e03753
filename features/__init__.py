"""Audio features, one per file: frozen dataclasses that can be called on an array.

May import: signal, kernels.
"""
