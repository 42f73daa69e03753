"""Sphinx's settings: guides in Markdown, the public API out of its docstrings."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

project = "audio-tagging-pipeline"
author = "The audio-tagging-pipeline authors"
project_copyright = f"2026, {author}"

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "numpydoc",
    "myst_nb",
    "sphinxcontrib.mermaid",
]
exclude_patterns = ["_build", "conf.py", "figures"]

# Signatures keep their order in the file and show types by their short names; the docstrings have
# the shapes and units.
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_default_options = {"members": True}

# Members are listed by autodoc itself; numpydoc's tables would link to a page per method.
numpydoc_show_class_members = False

# ```mermaid in a guide is a figure, as on GitHub.
myst_fence_as_directive = ["mermaid"]
myst_heading_anchors = 3

# tour.py is a notebook. It is executed with each build, and an error in it fails the build.
nb_custom_formats = {".py": ["jupytext.reads", {"fmt": "py:percent"}]}
nb_execution_mode = "force"
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_merge_streams = True

html_theme = "pydata_sphinx_theme"
html_title = project
html_theme_options = {"show_prev_next": False, "secondary_sidebar_items": ["page-toc"]}
html_show_sourcelink = False
