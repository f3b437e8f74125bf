"""Who there is: devices, their owners, the owners' relatives; and what a new device is told."""
