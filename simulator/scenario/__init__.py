"""Scenarios: small files that say who, where, when, what happens, and what must come of it."""
