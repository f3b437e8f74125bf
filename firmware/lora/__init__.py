"""LoRa radios over SPI for asyncio: SX1262 (LLCC68) and SX1276 (RFM95). It knows nothing of the rest.

README.md says what a bus must be.
"""
