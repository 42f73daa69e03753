"""From a command line to settings, a signal and an exit code: what every stage starts with.

main           run a stage and report how it ended
signals        turn Ctrl-C and SIGTERM into one exception
markers        what a settings class says of its fields beside their types
declaration    read a settings class: types, bounds, choices, help
params_file    read params.yaml
flags          the command line's flags
settings       ``parse``: params.yaml and flags to checked settings
checking       check values with pydantic, and say what is wrong in our words

May import: runtime.
"""
