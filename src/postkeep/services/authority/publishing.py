"""Publishing new generations of public keys, so that writers seal to them at once.

The authority takes a key as it is: whether kms has vouched for it is checked by whoever seals to it.
"""

from postkeep.base.errors import NotFoundError
from postkeep.base.ids import NOBODY
from postkeep.model.audit import EventName
from postkeep.services.authority.api import Done, PublishKey
from postkeep.services.authority.state import AuthorityState
from postkeep.tickets.clear import Grant


class KeyPublisher:
    """Answers `authority.publish_key`."""

    def __init__(self, state: AuthorityState) -> None:
        self._state = state

    async def publish_key(self, grant: Grant, request: PublishKey) -> Done:
        """Publish a key; one that is not newer than the published one changes nothing."""
        key, state = request.key, self._state
        if key.tenant == NOBODY == key.principal:
            if key.generation > state.queue_key.generation:
                state.publish_queue_key(key)
            return Done()
        published = await state.directory.key_generation(key.tenant, key.principal)
        if published is None:
            raise NotFoundError("nobody here has such a key")
        if published >= key.generation:
            return Done()
        version = await state.directory.set_key(key.principal, key.generation, key.public_key, key.signature)
        state.feed.changed(version)
        state.trail.note(
            EventName.DIRECTORY,
            tenant=key.tenant.hex(),
            principal=key.principal.hex(),
            module=grant.peer_module,
            instance=grant.peer_instance,
            session=grant.session.hex(),
            ticket=grant.root_ticket_id,
            method=grant.method,
            count=key.generation,
            note="key.publish",
        )
        return Done()
