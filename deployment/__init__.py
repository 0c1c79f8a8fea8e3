"""
Chalice wrapper behind the Makefile's `package`, `deploy`, `logs` and `invoke`.

`stages` reads the stages and the one Python version that production runs. `templates` writes the
template settings that Chalice cannot express; `limits` applies the same settings to an API without
a template. `staging` builds the fast-starting copy of the project; `archive` makes the zip
reproducible.
"""
