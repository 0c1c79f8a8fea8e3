"""Error of an emulated action."""


class AwsError(Exception):
    """Error of the service, rendered in its protocol."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
