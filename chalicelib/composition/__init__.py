"""
Composition root: the only place that constructs and wires adapters.

`token` wires the exchange, `admin` the administrators' parts, `admin_function` the
admin surface and the schedule, `stores` the stores in Secrets Manager.  Both `app.py`
and the command line use it.  A function that serves only tokens never imports `admin`.
"""
