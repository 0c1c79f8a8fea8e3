"""Cognito."""

def install() -> None:
    pass
