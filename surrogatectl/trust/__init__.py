"""Configuration for backends that verify tokens."""
