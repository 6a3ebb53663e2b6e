# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
"""The file systems of fsspec, and what they raise as errors of one line."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from byrote.errors import StoreError

_EXTRAS = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs"}
_VERSIONS = ("ETag", "etag", "generation", "md5Hash", "mtime", "LastModified", "created")


def is_url(place: str | Path) -> bool:
    """Whether a run's place is an fsspec URL. StoreError where it was one before `Path` took a slash from it."""
    words = str(place)
    scheme, colon, rest = words.partition(":/")
    if isinstance(place, Path) and colon and scheme in ("file", "memory", *_EXTRAS) and not rest.startswith("/"):
        raise StoreError(f"{words} was a URL before Path took a slash from it; give it as a str")
    return "://" in words


def file_system(url: str) -> tuple[Any, str]:
    """The file system of a URL and the path on it."""
    fsspec: Any = import_module("fsspec.core")
    scheme, rest = url.split("://", 1)
    if "::" in scheme:
        raise StoreError(f"{url}: a run's place is one URL, such as s3://bucket/runs/first, without ::")
    user, at, _ = rest.split("/")[0].rpartition("@")
    if at and ":" in user:
        raise StoreError(
            f"a {scheme}:// URL with a password in it would be written down; leave it out, and give it where the file "
            "system's own library looks for it (for S3 the environment or ~/.aws)"
        )
    options = {"auto_mkdir": True} if scheme in ("file", "local") else {}
    try:
        fs, root = fsspec.url_to_fs(url, **options)
    except ImportError as error:
        extra = "pip install 'byrote[remote]'" if _EXTRAS.get(scheme) == "s3fs" else f"pip install {_package(scheme)}"
        raise StoreError(f"{url} needs a package that is not installed ({line_of(error)}): {extra}") from None
    except ValueError as error:
        raise StoreError(f"{url}: {error}; give a folder, or a URL such as s3://bucket/runs/first") from None
    except Exception as error:
        raise StoreError(f"cannot use {url}: {line_of(error)}{way_out(error)}") from error
    if not root.strip("/") or (scheme in _EXTRAS and "/" not in root.strip("/")):
        raise StoreError(f"{url} is a whole bucket; name a folder in it, such as {url.rstrip('/')}/runs/first")
    return fs, root.rstrip("/")


def _package(scheme: str) -> str:
    return _EXTRAS.get(scheme, f"fsspec[{scheme}]")


def line_of(error: BaseException) -> str:
    """`NoCredentialsError: Unable to locate credentials`."""
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def way_out(error: BaseException) -> str:
    if "redential" in line_of(error) or isinstance(error, PermissionError):
        return (
            "; give credentials where the file system's own library looks for them (for S3 the environment or ~/.aws)"
        )
    return ""


def version_of(facts: Mapping[str, Any]) -> str:
    return str(next((facts[name] for name in _VERSIONS if facts.get(name)), ""))
