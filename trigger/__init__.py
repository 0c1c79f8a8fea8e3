"""The pre token generation trigger, which `infra/region.yaml` deploys beside each pool."""
