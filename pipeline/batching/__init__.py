"""Batches of crops out of a store. NumPy only, for any framework.

May import: runtime, store, features.
"""
