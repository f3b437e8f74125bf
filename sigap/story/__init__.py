"""A Sigap as the people of a story: what the fixtures of sigap.pytest_plugin hand to a test."""
