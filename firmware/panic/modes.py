"""What a button may do when nothing is to be done. panic/power.py says when; on mains only this file is loaded."""

MAINS = "mains"  # stay awake, and connected
LIGHT = "light"  # sleep; every press wakes it and is seen
DEEP = "deep"  # sleep deeper, and start anew
MODES = (MAINS, LIGHT, DEEP)
