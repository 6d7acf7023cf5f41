"""The programs of a hospital: the only code that loads patients' records."""
