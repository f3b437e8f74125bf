"""OASIS Common Alerting Protocol 1.2 (CAP-v1.2-os): messages, their rules, and both ways to hand them out."""
