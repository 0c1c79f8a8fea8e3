"""
What it costs: `make bench`, or `make bench ONLY=warm`.

`warm` measures the exchange in this process, `junk` what attackers can make it
cost.  Each is a module with a `run(quick)` that returns what it found; `__main__`
runs each in a process of its own and writes `results/*.json`.

A figure is a median, or a ratio of two that were taken in turns in one run:
the machine is whatever it is, and never has the same speed twice.  Nothing here
fails because something took long.
"""
