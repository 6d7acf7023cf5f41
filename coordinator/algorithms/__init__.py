"""How a model is trained: both halves of each conversation side by side."""
