"""The parts of HTML pages that need no network: template, tables, figures, clips to hear.

The sections of each page are a folder, one module per section with its template beside it.

May import: runtime, audio, store, survey, features.
"""
