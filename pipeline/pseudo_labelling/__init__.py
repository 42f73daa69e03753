"""Labels that a teacher, a trained run, gives the noisy clips of its student: make, write, read.

May import: runtime, dataset, runs.
"""
