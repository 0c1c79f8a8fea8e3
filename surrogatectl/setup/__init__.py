"""Setup and removal of a deployment."""
