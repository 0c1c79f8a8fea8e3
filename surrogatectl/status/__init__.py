"""Both Regions side by side."""
