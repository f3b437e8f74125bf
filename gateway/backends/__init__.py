"""Adapters to those who must be told of an incident, one file each, behind gateway/outbox/port.py."""
