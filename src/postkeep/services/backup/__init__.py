"""Backups: what is shipped, how it is proved, how it comes back.

`creating` makes one on a running node, `tombstones` tells what has been destroyed, `pruning` ends backups
and weekly keys; `service` is the process that does this. `catalogue` reads a target, `choosing` decides
what belongs together, `checking` opens samples, `replaying` destroys again. What needs the root key runs as
a command, in `postkeep.node.backups`.
"""
