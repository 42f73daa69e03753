"""One network per function, without its input and output. Keras only.

May import: layers.
"""
