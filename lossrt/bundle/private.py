"""A private folder that lasts as long as the process: what a killed one left behind, the next one removes."""

__all__ = ["PrivateFolder"]

import fcntl
import os
import shutil
import stat
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

PREFIX = "lossrt-bundle-"
GRACE_S = 60  # between making a folder and locking it, a process is given this long


@dataclass(frozen=True, slots=True)
class PrivateFolder:
    """A folder that only this user can enter, locked until it is discarded or the process ends, however it does.

    Attributes:
        path: The folder.
        handle: The descriptor that holds the lock.
        owner: The process that made it; one that it forks must not take it away.
    """

    path: Path
    handle: int
    owner: int

    @classmethod
    def make(cls) -> "PrivateFolder":
        """Return a new folder; unlocked ones of the same user are removed.

        Raises:
            OSError: The disk refused.
        """
        _sweep(Path(tempfile.gettempdir()))
        path = Path(tempfile.mkdtemp(prefix=PREFIX))  # made with mode 700
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(handle, fcntl.LOCK_SH)
        return cls(path, handle, os.getpid())

    def discard(self) -> None:
        """Remove the folder, in the process that made it."""
        if os.getpid() == self.owner:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self.handle)


def _sweep(place: Path) -> None:
    for path in place.glob(f"{PREFIX}*"):
        try:
            facts = path.lstat()
            ours = stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid()
            if not ours or time.time() - facts.st_mtime < GRACE_S:
                continue
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
        except OSError:
            continue  # somebody works in it
        finally:
            os.close(handle)
