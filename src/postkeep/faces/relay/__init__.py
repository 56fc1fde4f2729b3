"""The relay: takes outbound mail from the vault's queue and hands it to other servers.

Start at `worker`. An item goes this way, one file per step:

    lease -> opened (keys, envelope) -> destinations (by domain) -> route (MX, addresses) -> session (SMTP)
          -> settle (pure: who is done, who is tried again, who is reported) -> reports -> record

What happens at a crash. A leased item comes up again when its lease ends: leases are short, and `leases`
renews them while there is work. The outcome of an attempt is
recorded right after the other server's last reply, so a message is doubled only where the crash falls between
the two: SMTP's own ambiguity (RFC 1047). Reports are deposited before the outcome that they stand for is
recorded, and under a body identifier derived from the item, the kind of report and the recipients in it: a
crash between the two makes the same report again, which the vault knows already. So no failure goes
unreported and none is reported twice. Recipients whose report can't be deposited stay in the queue.
"""
