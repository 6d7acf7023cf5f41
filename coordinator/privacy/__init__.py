"""Defences: what each is, what it refuses to go with, and the account of what was told."""
