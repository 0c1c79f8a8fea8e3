"""Reconciliation: survey and repair of drift, and the schedule."""
