"""One audio file, from bytes to samples. The only importer of soundfile and soxr.

May import: runtime.
"""
