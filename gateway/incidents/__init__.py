"""What the police handle: incidents, their stages, and how they are told to a backend."""
