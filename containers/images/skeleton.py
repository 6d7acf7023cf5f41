"""An empty root for walls around the host's own programs: folders and links, no file."""

import os
import tempfile
from pathlib import Path

from containers import host_programs

FOLDERS = ("etc", "proc", "dev", "tmp")


def skeleton() -> Path:
    """Return a folder that can be a sandbox's root, made if it is missing; nothing in it is ever changed."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "suture"
    folder = base / "skeleton-1"
    if not folder.is_dir():
        base.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".skeleton-", dir=base))
        lay_out(partial)
        try:
            partial.rename(folder)
        except OSError:  # another process was quicker
            _remove(partial)
    return folder


def lay_out(root: Path) -> None:
    """Make the folders and links of an empty root."""
    root.chmod(0o755)
    for name in (*FOLDERS, *(path.name for path in host_programs.folders_of_system())):
        (root / name).mkdir()
    for path in host_programs.links_of_system():
        (root / path.name).symlink_to(path.readlink())


def _remove(root: Path) -> None:
    for path in root.iterdir():
        path.unlink() if path.is_symlink() else path.rmdir()
    root.rmdir()
