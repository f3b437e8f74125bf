"""From the broker to the disk and back: frames are opened, checked, committed, and receipted, in that
order."""
