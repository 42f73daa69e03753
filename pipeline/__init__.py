"""Stages (``python -m pipeline.<verb>``) and the libraries that they share."""
