"""Builds the mx module: inbound SMTP."""

from postkeep.faces.mx.connection import MxConnection
from postkeep.faces.smtp.face import Connections, FaceSettings
from postkeep.faces.tls import server_context
from postkeep.node.context import ModuleContext
from postkeep.node.wiring.smtp import open_delivery, serve
from postkeep.protocols.smtp.server import ServerSettings


async def run(context: ModuleContext) -> None:
    """Receive mail until told to stop."""
    config = context.config.mx
    connections = Connections(connections_max=config.connections_max)
    async with open_delivery(context) as delivery:
        settings = FaceSettings(
            ServerSettings(
                hostname=delivery.hostname,
                message_octets_max=config.message_bytes_max,
                recipients_max=config.recipients_max,
                starttls=True,
            ),
            server_context(delivery.tls_pem),
            connections_max=config.connections_max,
            command_timeout_seconds=config.command_timeout_seconds,
            greeting_delay_seconds=config.greeting_delay_seconds,
        )

        def connection() -> MxConnection:
            return MxConnection(settings, connections, delivery.view, delivery.pipeline)

        await serve(context, connections, {"smtp": connection})
