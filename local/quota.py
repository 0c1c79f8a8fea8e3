"""Quota of concurrent executions of Lambda functions."""

# Of an account that has been in use; a new one may have 10.
QUOTA = 1_000
# Of the quota; of a new account's, all of it or nearly so.
NEVER_RESERVED, NEVER_RESERVED_NEW = 100, 10


class Quota:
    """Concurrent executions of the account, in each Region."""

    def __init__(self) -> None:
        self.total = QUOTA

    def refusal(self, reserved: int) -> str | None:
        """Return AWS's refusal to reserve *reserved* for all functions together, or None."""
        never = NEVER_RESERVED if self.total >= QUOTA else NEVER_RESERVED_NEW
        if reserved <= self.total - never:
            return None
        return (
            "Specified ReservedConcurrentExecutions for function decreases account's "
            f"UnreservedConcurrentExecution below its minimum value of [{never}]."
        )
