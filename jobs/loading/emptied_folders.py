"""Finds folders that were emptied or unmounted: their shards are missing, which is no wish to remove them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from pyarrow import fs

from pivot_udfs.errors import CorpusError
from pivot_udfs.shards.list_shards import HIDDEN
from pivot_udfs.storage.list_files import list_folder, look_up
from pivot_udfs.storage.location import Location
from pivot_udfs.storage.redact import printable
from pivot_udfs.storage.stores import STORE_ERRORS, resolve


def check_emptied_folders(unlisted: Iterable[str]) -> None:
    """Raises CorpusError where loaded shards that are listed no more lay in a folder that is there and empty.

    Of a folder that is no longer there, the nearest one above it is looked at: a mount point stays.
    """
    folders = Counter(shard.rpartition("/")[0] for shard in unlisted)
    for folder, n_shards in sorted(folders.items()):
        try:
            there = _nearest(resolve(folder or "/"))
            is_empty = there is not None and not list_folder(there, HIDDEN)
        except STORE_ERRORS:  # not among the inputs, which could be listed
            continue
        if is_empty:
            raise CorpusError(
                f"{printable(str(there))} is empty, but {n_shards:,} loaded shards lay in {printable(folder)}: mount "
                "it, or put them back; if they are to leave the corpus, remove the empty folder"
            )


def _nearest(folder: Location) -> Location | None:
    """The folder, or the nearest one above it, that is there; None at the root of a store."""
    while folder.path.strip("/"):
        if look_up(folder).type == fs.FileType.Directory:
            return folder
        folder = replace(folder, path=folder.path.rpartition("/")[0])
    return None
