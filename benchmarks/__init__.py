"""
Benchmarks: `make bench`, or `make bench ONLY=warm`.

`warm` measures the exchange in this process, `junk` the cost that attackers can
cause, `cold` a Lambda's start, `peers` other token servers over HTTP, `calls` the
month's bill, `scale` the administrators' side, `verifier` a backend's check of a
token, `trigger` the function beside the user pools.  Each is a module with a
`run(quick)` that returns its result, and a text in `templates/` that explains its
method; `__main__` runs each in a process of its own and writes `results/*.json`,
`plots` draws them, `report` generates the documents on performance.

A figure is a median, or a ratio of two figures that one run took in turns,
because no machine has the same speed twice.  No benchmark fails because
something took long.
"""
