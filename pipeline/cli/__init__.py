"""From a command line to settings, a signal or an exit code: what every stage stands in.

May import: runtime.
"""
