"""Sigap's command line and what composes the parts; the parts are gateway, simulator, hardware and firmware."""
