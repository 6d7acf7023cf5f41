"""Everything of a study that never loads a patient's record."""

__version__ = "0.1.0"
