"""A witness: an independent party that signs a log's heads, and only those that extend what it has signed.

It is a program of its own, for another machine and other people than the log's. Start with `service`; it
answers C2SP tlog-witness. `submission` reads what is sent, `cosigner` holds the keys. What must outlive a
crash lies in `postkeep.stores.witness_logs`.
"""
