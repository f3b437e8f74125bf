"""The world around virtual boards: it powers them, presses their buttons, and sees what their pins do."""
