"""In which walls a party runs: sandboxes, runtimes and the launcher."""
