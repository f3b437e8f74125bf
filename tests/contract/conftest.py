"""Hypothesis here judges what the code does, not how fast a loaded machine is."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("contract", deadline=None)
settings.load_profile("contract")
