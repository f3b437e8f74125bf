"""The durable list of what must be told: at least once, each destination on its own."""
