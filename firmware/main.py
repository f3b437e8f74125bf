# Starts the button. Everything else is in /panic, /hal, /mqtt and /panic_wire, as .mpy files.
import sys

import hal.start

app = hal.start.button()
del hal.start, sys.modules["hal.start"]
if app:
    app.run()
