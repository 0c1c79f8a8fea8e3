"""Drift: its survey, its repair, and the schedule that looks for it."""
