"""No feature may have been recorded after the time of prediction: it could not be known at the bedside."""

from coordinator.errors import DataError
from sites.reading import Reading

TOLERANCE_HOURS = 1e-6


def check_times(reading: Reading, where: str) -> None:
    """Refuse features from the future.

    Raises:
        DataError: naming each feature and how late it was recorded.
    """
    late = {name: hours for name, hours in reading.latest.items() if hours > TOLERANCE_HOURS}
    if late:
        found = ", ".join(f"{name} (up to {hours:.1f} h)" for name, hours in sorted(late.items()))
        raise DataError(
            f"{where}: recorded after the time of prediction: {found}; leave these columns out, "
            "or predict at a later time"
        )
