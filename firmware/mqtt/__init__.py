"""An MQTT 3.1.1 client for asyncio, under MicroPython and CPython. See README.md."""

from .client import Client, MQTTTimeout
from .codec import Decoder, MQTTError

__all__ = ("Client", "Decoder", "MQTTError", "MQTTTimeout")
