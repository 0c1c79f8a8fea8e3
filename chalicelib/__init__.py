"""
Surrogate client credentials for Amazon Cognito in two AWS Regions.

Rooms; each imports only from those below it:

- `composition`: wires the others, for `app.py` and the command line;
- `http`: routes, request parsing, problem documents; the only importer of Chalice;
- `reconciliation`: drift, its survey and repair, and the schedule;
- `clients`: the life of a client; `token`: one token request;
- `aws`: adapters of the ports; the only importer of botocore and requests;
- `jwks`: the key set of both pools; `telemetry`: log lines; `record_json`: stored JSON;
- `caching`, `timing`, `ports`, `credentials`, `settings`, `errors`, `model`.

Main path: `http.token_routes` -> `token.oauth` -> `token.exchange` -> `ports` ->
`aws.client_records`, `aws.region_state` and `aws.token_endpoint`.
Admin path: `http.admin_routes` -> `http.admin_requests` -> `clients` -> `ports` ->
`aws.client_records` and `aws.cognito_app_clients`; `http.problems` words the errors.

Glossary (the whole of it: `docs/glossary.md`):

- client ID, client secret: the surrogate's credential (RFC 6749);
- secret ID: a handle of one client secret, safe to log;
- app client: Cognito's client; one in each Region's pool makes the app client pair;
- record: the JSON document of one client in Secrets Manager, replicated;
- Region state: a Region's own secret, not replicated: writer flag, epoch, denials;
- writer: the Region in which administrators' changes are made;
- pending: a regional app client that does not exist yet;
- drift: a difference between the records and the app clients, replicas or denials;
- tombstone: the record of a deleted client, until its secret is gone;
- deployment key: the key of the MACs and of idempotent client IDs.
"""
