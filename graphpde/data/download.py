"""Fetching the published files of a data set, each whole or not at all. Nothing that is fetched is ever run.

torch-geometric's own classes are not asked: they unpickle what they fetch, and take it from any server that answers.
"""

from __future__ import annotations

import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any

from graphpde.data.raw_files import CACHE, RawFiles, Wanted, find, present
from graphpde.errors import DatasetError
from graphpde.mesh.io.aside import written_aside

_SECONDS = 20.0  # without a byte before a server counts as absent
_LARGEST = 1 << 30  # bytes; ten times the largest of the files


def fetched(wanted: Wanted, root: Path) -> RawFiles:
    """The files below a root, after what is missing has been downloaded to it.

    Raises:
        DatasetError: no network, no such file, no folder to put it; says how to go on without. OutputError: the disk
            is full.
    """
    folder, missing = present(wanted, root)
    if not missing:
        return find(wanted, root)
    folder = folder or root / wanted.parent / wanted.inner[0]
    for name in missing:
        try:
            content = _content(wanted.urls[name])
        except (OSError, HTTPException, ValueError) as error:
            place = f"{wanted.parent}/{wanted.inner[0]}".rstrip("/")
            raise DatasetError(
                f"the data set '{wanted.dataset}' is not in '{root}' and could not be downloaded: no answer from "
                f"{wanted.urls[name]} ({_reason(error)}); copy its files to '{folder}', or point --root (root=) at a "
                f"folder that holds {place}"
            ) from error
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatasetError(
                f"cannot make the folder '{folder}' for the data set '{wanted.dataset}': {error.strerror or error}; "
                f"name another one in {CACHE}, or point --root (root=) at a local copy"
            ) from error
        with written_aside(folder / name) as aside:
            aside.write_bytes(content)
    return find(wanted, root)


def _content(url: str) -> bytes:
    if not url.startswith("https://"):
        raise ValueError("only https is fetched")
    with _opened(url) as answer:
        content: bytes = answer.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise ValueError(f"the answer is longer than {_LARGEST >> 20} MB")
    return content


def _opened(url: str) -> Any:
    return urllib.request.urlopen(url, timeout=_SECONDS)


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return str(reason) or type(error).__name__
