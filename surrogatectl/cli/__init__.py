"""Shared by all commands: options, output, failures, configuration, the admin API."""
