"""What a data set is like, in numbers: lengths, levels, labels, duplicates. Decodes nothing.

May import: runtime, audio, store, dataset.
"""
