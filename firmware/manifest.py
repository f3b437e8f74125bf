# For building MicroPython with the packages frozen in: make BOARD=... FROZEN_MANIFEST=<this file>
# boot.py and main.py stay on the filesystem, so that a technician can read what starts the button.
include("$(PORT_DIR)/boards/manifest.py")  # noqa: F821 (the manifest language of tools/manifestfile.py)
for name in ("panic_wire", "lora", "mqtt", "panic", "base", "hal"):
    package(name, base_path="$(MANIFEST_DIR)", opt=0)  # noqa: F821
