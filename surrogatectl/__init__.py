"""The operators' command line: what concerns one client goes over the admin API."""
