"""The sections of report's page, on models.

May import: runtime, store, dataset, survey, runs, scoring, reports.
"""
