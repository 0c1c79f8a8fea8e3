"""Pre token generation trigger, deployed beside each pool by `infra/region.yaml`."""
