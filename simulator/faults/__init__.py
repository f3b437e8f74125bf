"""A proxy on every link between the parts: it makes connections slow, lossy, silent or short, when it is told to."""
