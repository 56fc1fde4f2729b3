"""Reaches keys that customers hold: in their PKCS#11 tokens, or behind their key servers. Start at `service`.

It is a process of its own, because it has what kms must not have: the network, and native code of others.
What passes through it opens nothing by itself (`kms.custodians`): it never sees a tenant's key.
"""
