"""AWS: implementations of the ports; the only importer of botocore and requests."""
