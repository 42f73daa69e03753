"""Modules that every stage uses: errors, problems, files, parallel jobs, progress.

May import: nothing of this project.
"""
