"""HTTP: the only importer of Chalice."""
