"""The error that an action answers with."""


class AwsError(Exception):
    """An error of the service, to be answered in its protocol."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
