"""Turn a command line into settings, signals into one exception, and errors into an exit code.

main           run a stage and report how it ended
signals        turn Ctrl-C and SIGTERM into one exception
markers        what a settings class says of its fields beside their types
declaration    read a settings class: types, bounds, choices, help
params_file    read params.yaml, and a recipe laid over it
use            a command: write a recipe into params.yaml
flags          the command line's flags
settings       ``parse``: params.yaml and flags to checked settings
overrides      values of ``--set`` and dotted flags, put where the file would have them
resolution     which value of a setting wins
origins        where each value is from, in the user's words
checking       check values with pydantic, with error messages of our own

May import: runtime.
"""
