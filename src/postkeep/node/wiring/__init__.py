"""How each module is put together from its parts: one file per module, each with `run(context)`."""
