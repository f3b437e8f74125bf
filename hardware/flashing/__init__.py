"""A way onto a real board: MicroPython by esptool, then our firmware and the device's settings by mpremote."""
