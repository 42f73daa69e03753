"""The demo's sounds.

May import: nothing of this project.
"""
