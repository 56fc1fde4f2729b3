"""Builds the submission module: authenticated SMTP, on a port with STARTTLS and on one with TLS."""

from collections.abc import Callable

from postkeep.faces.sasl import offered
from postkeep.faces.smtp.face import Connections, FaceSettings
from postkeep.faces.submission.connection import SubmissionConnection
from postkeep.faces.submission.sessions import Sessions
from postkeep.faces.tls import server_context
from postkeep.node.context import ModuleContext
from postkeep.node.wiring.smtp import open_delivery, running, serve
from postkeep.protocols.smtp.server import ServerSettings
from postkeep.services.delivery.submit import Submitter


async def run(context: ModuleContext) -> None:
    """Take users' mail until told to stop."""
    config = context.config.mx
    connections = Connections(connections_max=config.connections_max)
    async with open_delivery(context) as delivery:
        sessions = Sessions(delivery.authority, delivery.clock)
        delivery.on_revoked.append(sessions.revoked)
        submitter = Submitter(delivery.pipeline, delivery.vault)
        tls = server_context(delivery.tls_pem)
        server = ServerSettings(
            hostname=delivery.hostname,
            message_octets_max=config.message_bytes_max,
            recipients_max=config.recipients_max,
            starttls=True,
            mechanisms=offered(tls.end_point),
            auth_required=True,
        )

        def factory(*, implicit_tls: bool) -> Callable[[], SubmissionConnection]:
            settings = FaceSettings(
                server,
                tls,
                implicit_tls,
                connections_max=config.connections_max,
                command_timeout_seconds=config.command_timeout_seconds,
            )
            return lambda: SubmissionConnection(
                settings,
                connections,
                authority=delivery.authority,
                sessions=sessions,
                view=delivery.view,
                submitter=submitter,
            )

        async with running(sessions.keep(), context.stop):
            await serve(
                context,
                connections,
                {"submission": factory(implicit_tls=False), "submissions": factory(implicit_tls=True)},
            )
            await sessions.close()
