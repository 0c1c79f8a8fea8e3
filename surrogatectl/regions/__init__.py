"""Failover and failback."""
