"""
Two-Region AWS cloud on one machine.

`cloud.Cloud` is the interface for tests and demos, `python -m local` the one for people. Behind it
run two processes: `emulator` (MiniStack with the gaps to AWS closed by `aws_gaps`, in an
environment of its own) and `network` (every public port, the switch of each Region and the front
door). Read `cloud` → `launch`, `rollout` → `provision`, `deploy` for the setup; `network` →
`switch`, `cloud_port`, `front_door` for outages; `emulator` → `doors` → `aws_gaps` for the
emulated services.
"""
