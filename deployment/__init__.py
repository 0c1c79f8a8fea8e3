"""
Chalice wrapper behind the Makefile's `package`, `deploy`, `logs` and `invoke`.

`stages` knows the stages and the one Python version that production runs; `templates` adds to a
template what Chalice cannot say, and `limits` says the same to an API that has no template;
`staging` makes the copy of the project that starts fast; `archive` makes the same zip of the same
files anywhere.
"""
