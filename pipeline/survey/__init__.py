"""What a data set is like, in numbers: lengths, levels, labels, duplicates.

May import: runtime, audio, store, dataset.
"""
