"""Postkeep: an enterprise mail system whose security is structure that anyone can check.

Read `docs/tour.md` first: the life of a message, of a read and of a key. The packages form a ladder
(`base`, `crypto`, `model` and `protocols`, `tickets`, `stores`, `services`, `faces`, `node`); each imports
only from the floors below it.
"""
