"""The SOS page for phones: served here, it speaks to the broker by itself."""
