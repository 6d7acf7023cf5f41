"""Adversaries: they see arrays that passed the coordinator, or a model, and never load a record."""
