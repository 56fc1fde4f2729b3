"""Bringing a backup back, as a command: the whole node (`restoring`), or samples of it as a proof
(`verifying`).

Both need the root key, as its holders open it (`opening`), and a database server of their own (`recovery`).
"""
