"""The key set of both Regions' pools."""
