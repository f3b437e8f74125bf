"""The only users of machine, network and esp32. README.md lists what of them is used."""
