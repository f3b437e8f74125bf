"""The board's `select` in virtual time: every stream is a Python stream, and waiting is what moves the clock."""

_POLL = 3  # MP_STREAM_POLL
# What one step of the scheduler takes on an ESP32 at 160 MHz, in its order of magnitude. All other code takes no time;
# without this a firmware that asks again and again until a millisecond has passed would ask for ever.
STEP_US = 50


def install(modules, link):
    class Poll:
        def __init__(self):
            self._streams = []  # [stream, mask] in the order of registration, so that runs are the same

        def _find(self, stream):
            for entry in self._streams:
                if entry[0] is stream:
                    return entry
            return None

        def register(self, stream, mask=5):
            entry = self._find(stream)
            if entry:
                entry[1] = mask
            else:
                self._streams.append([stream, mask])

        def modify(self, stream, mask):
            self._find(stream)[1] = mask

        def unregister(self, stream):
            entry = self._find(stream)
            if entry:
                self._streams.remove(entry)

        def poll(self, timeout=-1):
            """[(stream, flags)]: waits at most `timeout` ms; negative waits until something is ready."""
            link.sleep(STEP_US)
            until = None if timeout is None or timeout < 0 else link.now_us + timeout * 1000
            while True:
                ready = []
                for stream, mask in self._streams:
                    flags = stream.ioctl(_POLL, mask)
                    if flags:
                        ready.append((stream, flags))
                if not link.wait(link.now_us if ready else until):
                    return ready

        def ipoll(self, timeout=-1, flags=0):
            return iter(self.poll(timeout))

    class Select:
        POLLIN, POLLOUT, POLLERR, POLLHUP = 1, 4, 8, 16
        POLLPRI = 2
        poll = Poll

    modules["select"] = modules["uselect"] = Select
