"""Made by `python -m hardware.generate` from hardware/boards/*.toml. Change those."""

BOARDS = {
    "devkit": {
        "button": {"pin": 27, "pull": "up", "active_low": True},
        "led": {"pin": 26, "active_high": True},
        "buzzer": {"pin": 25},
        "gps": {"uart": 1, "rx": 33, "tx": 32, "baud": 9600},
    },
}
