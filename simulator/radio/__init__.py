"""LoRa without radios: how long a packet is on the air, who hears it, and the chips that send and receive it."""
