"""Builds the relay module: its links to the keepers, its resolver, its worker."""

import contextlib
import socket

from postkeep.base.clock import SystemClock
from postkeep.faces.relay.destinations import Destinations, Limits
from postkeep.faces.relay.finish import Finisher
from postkeep.faces.relay.leases import Leases
from postkeep.faces.relay.lookup import Lookup, LookupPolicy, make_resolver, own_endpoints, parse_smarthost
from postkeep.faces.relay.opened import Opener
from postkeep.faces.relay.record import Recorder
from postkeep.faces.relay.reports import Reporter
from postkeep.faces.relay.schedule import RetryPolicy
from postkeep.faces.relay.session import Connector, make_contexts
from postkeep.faces.relay.worker import Worker
from postkeep.node.config import Config
from postkeep.node.context import ModuleContext
from postkeep.services.authority.client import AuthorityClient, OperationTickets
from postkeep.services.delivery.deposit import Depositor
from postkeep.services.delivery.epochs import EpochBook
from postkeep.services.kms.client import KmsClient
from postkeep.services.ledger.trail import Trail
from postkeep.services.vault.client import VaultClient
from postkeep.tickets.channel import Link


async def run(context: ModuleContext) -> None:
    """Relay outbound mail until told to stop."""
    clock = SystemClock()
    config = context.config
    hostname = (config.node.hostname or socket.getfqdn()).lower()
    async with contextlib.AsyncExitStack() as stack:
        authority_link, vault_link, kms_link, ledger_link = (
            _link(context, keeper) for keeper in ("authority", "vault", "kms", "ledger")
        )
        for link in (authority_link, vault_link, kms_link, ledger_link):
            stack.push_async_callback(link.close)
        trail = Trail(context.instance, ledger_link, clock)
        trail.start_heartbeat(context.config.ledger.heartbeat_seconds)
        stack.push_async_callback(trail.close)
        authority, vault = AuthorityClient(authority_link), VaultClient(vault_link)
        tickets = OperationTickets(authority, "relay", clock)
        stack.push_async_callback(tickets.close)
        deposit_tickets = OperationTickets(authority, "deliver", clock)
        stack.push_async_callback(deposit_tickets.close)
        depositor = Depositor(vault, deposit_tickets)
        opener = Opener(KmsClient(kms_link), vault, tickets)
        recorder = Recorder(vault, tickets)
        stack.callback(recorder.stop)
        reporter = Reporter(
            hostname=hostname,
            directory=authority,
            book=EpochBook(lambda: context.anchors.directory, clock),
            depositor=depositor,
            clock=clock,
        )
        relay = config.relay
        finisher = Finisher(
            policy=RetryPolicy(relay.retry_seconds, relay.expire_seconds, relay.delay_notice_seconds),
            reports=reporter,
            record=recorder.record,
            events=trail,
            clock=clock,
        )
        lookup = Lookup(make_resolver(relay.resolver), lookup_policy(config, hostname))
        leases = Leases(vault, tickets, relay.lease_seconds)
        destinations = Destinations(
            connector=Connector(lookup, hostname, make_contexts()),
            fetch=opener.content,
            finisher=finisher,
            limits=Limits(relay.connections_max, relay.destination_connections_max),
            leases=leases,
            single_line=bool(relay.smarthost),
        )
        worker = Worker(
            queue=vault,
            tickets=tickets,
            opener=opener,
            destinations=destinations,
            finisher=finisher,
            leases=leases,
        )
        context.ready()
        await worker.run(context.stop)


def lookup_policy(config: Config, hostname: str) -> LookupPolicy:
    """Return where mail may go, from the configuration."""
    listen, relay = config.listen, config.relay
    return LookupPolicy(
        port=relay.port,
        own_name=hostname,
        own_endpoints=own_endpoints(listen.address, listen.base_port),
        allow_private=relay.allow_private_addresses,
        smarthost=parse_smarthost(relay.smarthost),
    )


def _link(context: ModuleContext, keeper: str) -> Link:
    return Link(context.identity, context.anchors, keeper, context.run_dir / f"{keeper}.sock")
