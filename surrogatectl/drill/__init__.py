"""A rehearsed loss of a Region, under load, with a report."""
