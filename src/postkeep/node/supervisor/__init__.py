"""The supervisor: starts every module as a process of its own, watches it, starts it again, stops it.

`plan` says what runs, `layout` where it lies, `ports` what is bound, `spawn` and `child` how a process comes
to be, `frames` what supervisor and child tell each other, `loop` is the life of it all. It holds no key and
no data, runs no event loop and no thread, so that a fork of it is clean.
"""
