"""The contract between buttons and gateways, imported by both as the same files (see CONTRACT.md).

Every name of panic_wire.frames, and `seal`, `open_frame`, `topics`. Keys and the replay window are modules of
their own, so that a board loads only what it uses. `panic_wire.seal` names the function; both functions also
come with `from panic_wire.seal import open_frame, seal`.
"""

from panic_wire import frames, topics
from panic_wire.frames import *  # noqa: F403 - frames.__all__ is the list; twice would be twice to keep
from panic_wire.seal import open_frame, seal

__all__ = ["frames", "open_frame", "seal", "topics"]
__all__ += frames.__all__
