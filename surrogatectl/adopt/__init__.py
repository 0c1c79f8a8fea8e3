"""Import of existing Cognito app clients."""
