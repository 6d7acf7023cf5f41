"""Who is admitted now: the manifest's keys, read again whenever its file changes."""

from collections.abc import Iterable
from pathlib import Path

from coordinator.protocol.keys import read_manifest


class Admitted:
    """The parties of a run whose keys the manifest holds; `admit` and `remove` count at once."""

    def __init__(self, manifest: Path, parties: Iterable[str]) -> None:
        """Read nothing yet."""
        self._path, self._parties = manifest, tuple(parties)
        self._seen: tuple[int, int] | None = None
        self._keys: dict[bytes, str] = {}

    def keys(self) -> dict[bytes, str]:
        """Give names by public CURVE key.

        Raises:
            ConfigError: the file is gone or no manifest any more.
        """
        now = self._path.stat() if self._path.exists() else None
        seen = (now.st_ino, now.st_mtime_ns) if now else None
        if seen is None or seen != self._seen:
            manifest, self._seen = read_manifest(self._path), seen
            self._keys = {manifest[name].curve: name for name in self._parties if name in manifest}
        return self._keys
