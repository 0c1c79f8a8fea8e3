"""
What it costs: `make bench`, or `make bench ONLY=warm`.

`warm` measures the exchange in this process, `junk` what attackers can make it
cost, `cold` a Lambda's start, `peers` other token servers over HTTP, `calls` the
month's bill, `scale` the administrators' side.  Each is a module with a
`run(quick)` that returns what it found; `__main__` runs each in a process of its
own and writes `results/*.json`, `plots` draws them.

A figure is a median, or a ratio of two that were taken in turns in one run:
the machine is whatever it is, and never has the same speed twice.  Nothing here
fails because something took long.
"""
