"""Virtual time: boards that run the firmware and a modelled world, in lockstep, from a seed."""
