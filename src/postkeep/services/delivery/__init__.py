"""Delivery: one message on its way from a face into mailboxes and the queue, in pure stages.

    Envelope -> Received -> Finding[] -> Verdict -> Copies[] -> SealedDeposit[] -> vault

One file per stage: `envelope`, `received`, `findings`, `decide`, `classify`, `copies`, `seal`, `deposit`.
Only `deposit` (and `ticket`, its credential) talks to anybody; `pipeline` puts the stages in a row. `summary`
makes what is stored beside the message for FETCH.

Where a message has recipients of several companies, each company gets a body of its own under keys of its
own; a company's recipients share one body. Recipients outside (members of groups, or anybody for submission)
get a body of their own too: it carries no Return-Path.
"""
