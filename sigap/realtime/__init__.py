"""Stories in realtime: the same files with real boards, Mosquitto, the gateway and the fault proxy."""
