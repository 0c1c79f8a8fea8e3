"""AWS: the only importer of botocore and requests; implements the ports."""
