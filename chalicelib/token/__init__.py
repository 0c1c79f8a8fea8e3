"""One token request, from its parsing to Cognito's answer."""
