"""Where byrote keeps what it fetched, converted or measured on this machine."""

import os
from pathlib import Path

from platformdirs import user_cache_path


def cache_folder() -> Path:
    """$BYROTE_CACHE, else the user's cache folder of this system."""
    chosen = os.environ.get("BYROTE_CACHE")
    return Path(chosen).expanduser() if chosen else user_cache_path("byrote", appauthor=False)
