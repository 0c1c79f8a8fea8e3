"""Token request: parsing, exchange, caches and health."""
