"""Parts that features are made of.

May import: kernels.
"""
