"""
Composition root: the one place where adapters are constructed and wired.

`token` wires the exchange, `admin` the administrators' side, `admin_function`
what only the function serves of it, `stores` what both keep in Secrets Manager.
The function (`app.py`) and the command line use it alike.  A function that
serves only tokens never imports `admin`.
"""
