"""Base stations at serial ports: what they heard goes into the intake, what they are to send comes from the writer."""
