"""The contract between buttons and gateways, imported by both as the same files (see CONTRACT.md).

Import from its modules; all names of frames are in panic_wire.frames. Nothing is imported here, so that a board loads
only what it uses: RAM is what it has least of.
"""
