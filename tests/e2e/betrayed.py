"""Run the command line with modules that give away who they are: each leaves its key and ticket in its state.

What a break-in into a running module yields, without breaking in. Patched in the parent before it forks.
"""

import json

from postkeep.node.context import ModuleContext
from postkeep.node.supervisor import child


def leave_identity(context: ModuleContext) -> None:
    """Write the instance's private key, its ticket and the anchors where the test can find them."""
    identity = context.identity
    loot = {
        "module": identity.module,
        "instance": identity.instance,
        "key": identity._key.private_bytes_raw().hex(),
        "ticket": identity.ticket.hex(),
        "dsn": context.dsn.reveal(),
    }
    (context.state_dir / f"loot-{context.index}.json").write_text(json.dumps(loot))


def main() -> None:
    """Patch, then run."""
    make_context = child._Life._context

    def betray(life: child._Life) -> ModuleContext:
        context = make_context(life)
        leave_identity(context)
        return context

    child._Life._context = betray  # type: ignore[method-assign, assignment]
    from postkeep.node.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
