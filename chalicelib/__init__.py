"""
Surrogate client credentials for Amazon Cognito in two AWS Regions.

Read it along the main path: `token_api` (HTTP) -> `exchange` (the use case) ->
`ports` (what it asks of the outside) -> `secrets_store` and `token_endpoint`
(how AWS answers).  The administrators' side is `admin_api` -> `enrollment` ->
`ports` -> `secrets_store` and `app_clients`.  `app.py` wires them together.
"""
