"""What every stage stands on: errors, problems, files, parallel jobs, progress.

May import: nothing of this project.
"""
