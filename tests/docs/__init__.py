"""The documentation, read as its reader would: every command in it is run."""
