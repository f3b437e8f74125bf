"""The broker's configuration as files: who may log in and what each may read and write."""
