"""Foreign tables and folders in, clips.csv and labels.csv out.

May import: runtime, audio.
"""
