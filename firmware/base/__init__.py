"""What a base station is: it hears frames and passes them on, and sends what comes down. It holds no device's keys."""
