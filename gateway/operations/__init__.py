"""Keeping a gateway well: backup and restore, metrics, health, retention, and the doctor."""
