# Runs first on every start. Collect the heap before it is full: a collection under pressure takes longer.
import gc

gc.collect()
gc.threshold(gc.mem_free() // 4 + gc.mem_alloc())
