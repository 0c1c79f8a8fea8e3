"""
The two-Region AWS cloud on one machine.

`cloud.Cloud` is the whole of it for tests and demos, `python -m local` for people. Behind it run
two processes: `emulator` (MiniStack with the gaps to AWS closed by `aws_gaps`, in an environment of
its own) and `network` (every port that the world uses, the switch of each Region and the front
door). Read `cloud` → `launch`, `rollout` → `provision`, `deploy` for what is set up; `network` →
`switch`, `cloud_port`, `front_door` for what can be taken away; `emulator` → `doors` → `aws_gaps`
for what answers.
"""
