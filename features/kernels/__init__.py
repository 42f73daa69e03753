"""Compiled loops. The only importer of numba and llvmlite.

May import: nothing of this project.
"""
