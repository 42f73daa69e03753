"""Tasks that any worker can unpickle, also one that does not have the tests: texts for eval."""

# The number of the process; slow enough that several workers get some.
PID = "__import__('time').sleep(0.02) or __import__('os').getpid()"
# The end of the process.
DEATH = "__import__('os').kill(__import__('os').getpid(), 9)"
