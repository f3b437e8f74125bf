"""What others tell the gateway over HTTP, one file each."""
