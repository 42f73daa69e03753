"""Synthesize the sounds of the demo data set.

May import: nothing of this project.
"""
