"""Randomized faults in real runs; ``make chaos PLANS=200 SEED=0``."""
