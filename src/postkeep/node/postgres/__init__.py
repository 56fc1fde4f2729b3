"""The node's own PostgreSQL: one cluster under the data directory, one database and one login per keeper.

`binaries` finds a server, `cluster` makes, starts and stops it, `settings` is its configuration, `logins`
gives each keeper a password that lives as long as that keeper's process.
"""
