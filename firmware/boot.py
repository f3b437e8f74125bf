# Runs first on every start. A collection each 8 kB: it takes milliseconds, and what lives stays together. When it comes
# only at the end of the heap, small things lie scattered everywhere, and there is no whole piece for a connection.
import gc

gc.collect()
gc.threshold(8192)
