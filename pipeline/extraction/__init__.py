"""Extract missing clips into the stores and reuse the others: plan, run, seal.

May import: runtime, audio, store, dataset, features.
"""
