"""LilyGO T-Beam v1.1 (T22_V1.1). Made by `make generate` from hardware/boards/tbeam.toml."""

PARTS = {
    "button": (38, False, True),  # pin, pull-up inside, active low
    "lamp": (4, 13, False),  # LED, buzzer or None, active high
    "gps": (1, 34, 12, 9600),  # UART, RX, TX, baud, standby where there is one
    "lora": (5, 19, 27, 18, 23, 26, 33, 32, 2, True),  # SCK, MISO, MOSI, CS, RST, DIO0, DIO1, BUSY, TCXO, DIO2 switch
    "pmu": (21, 22, 11, 8, 4, 255, 196),  # SDA, SCL, REG 12H, its bits of GPS and LoRa, REG 28H, REG 33H
    "sleep": (38, True, "hold", "pcnt"),  # wake pin, light, deep, counter
}
