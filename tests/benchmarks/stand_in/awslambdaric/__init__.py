"""Stand-in for AWS's runtime client, so that a test does not need its package."""
