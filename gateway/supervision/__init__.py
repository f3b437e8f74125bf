"""What is amiss with devices, and what is asked of them from afar: troubles, crashes, commands."""
