"""Reference receivers, one for each kind of backend: small far sides, written from the standards and not from the
gateway's code, for integrators to compare theirs with."""
