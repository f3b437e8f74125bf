"""The registered message to an owner's relatives, and what follows it."""
