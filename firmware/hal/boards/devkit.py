"""ESP32-DevKitC V4 (ESP32-WROOM-32E). Made by `make generate` from hardware/boards/devkit.toml."""

PARTS = {
    "button": (27, True, True),  # pin, pull-up inside, active low
    "lamp": (26, 25, True),  # LED, buzzer or None, active high
    "gps": (1, 33, 32, 9600),  # UART, RX, TX, baud, standby where there is one
    "sleep": (27, True, "no", "pcnt"),  # wake pin, light, deep, counter
}
