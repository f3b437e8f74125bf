"""The firmware as it is shipped: compiled, bundled, measured. For the simulator and the technician's tools."""
