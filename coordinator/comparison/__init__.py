"""Compares finished runs: predictions, costs and history in, tables out."""
