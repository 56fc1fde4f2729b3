"""Delivery: one message on its way from a face into mailboxes and the queue, in pure stages.

    Envelope -> Received -> Finding[] -> Verdict -> Copies[] -> SealedDeposit[] -> vault

One file per stage: `envelope`, `received`, `findings`, `decide`, `classify`, `copies`, `seal`, `deposit`.
Only `deposit` talks to anybody; `pipeline` puts the stages in a row for mail that comes in, `submit` for mail
that users hand in, which `submitted` completes. `summary` makes what is stored for FETCH.

Where a message has recipients of several companies, each company gets a body of its own under keys of its
own; a company's recipients share one body. Recipients outside (members of groups, or anybody for submission)
get a body of their own too: it carries no Return-Path.
"""
