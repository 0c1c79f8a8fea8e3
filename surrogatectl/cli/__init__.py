"""Shared parts of all commands: options, output, failures, configuration, the admin API."""
