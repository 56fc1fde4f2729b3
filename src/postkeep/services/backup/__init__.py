"""Backups: what is shipped, how it is proved, how it comes back.

`creating` makes one on a running node, `weeks` ends keys in time, `tombstones` tells restored copies what
has been destroyed since, `catalogue` reads a target, `verifying` opens samples, `restoring` puts a node
together. The process that runs on a node is `service`; restoring and verifying need the root key and run as
a command.
"""
