"""Networks as named stages, and where to cut them."""
