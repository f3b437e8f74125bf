"""`sigap bench`: how long from a press to its receipt, at which rates, beside others that do the same work.

command.py is what is typed; plan.py says which cases there are; run.py measures one; peers.py starts who is measured
(naive.py and node_red/ are two of them); sender.py and receiver.py are the load, which speaks wire.py; report.py tells
it in a table and a picture.
"""
