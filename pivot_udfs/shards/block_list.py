"""The block list: the records that are kept out of every table."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Blocked(NamedTuple):
    """A row of the table ``blocked``: a key, a whole source (``doc_id`` None), a shard by its path, or by its content.

    Of the last two only ``shard``, or only ``content_id``, is set.
    """

    source: str | None = None
    doc_id: str | None = None
    shard: str | None = None
    content_id: str | None = None


@dataclass(frozen=True)
class BlockList:
    """What is blocked, for look-ups; travels in the closures of steps.

    A million keys of 32 characters take 115 MB in the driver and in each worker, and 35 MB on the way.
    """

    doc_ids: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Of single records, by source."""
    sources: frozenset[str] = frozenset()
    shards: frozenset[str] = frozenset()
    """Paths as in ``Shard.path``."""
    content_ids: frozenset[str] = frozenset()
    """SHA-256 (hex) of shards."""

    @classmethod
    def of(cls, entries: Iterable[Blocked]) -> "BlockList":
        """The block list with these entries."""
        doc_ids: dict[str, set[str]] = {}
        sources, shards, content_ids = set(), set(), set()
        for source, doc_id, shard, content_id in entries:
            if content_id is not None:
                content_ids.add(content_id)
            elif shard is not None:
                shards.add(shard)
            elif source is not None and doc_id is not None:
                doc_ids.setdefault(source, set()).add(doc_id)
            elif source is not None:
                sources.add(source)
        by_source = {source: frozenset(ids) for source, ids in doc_ids.items()}
        return cls(by_source, frozenset(sources), frozenset(shards), frozenset(content_ids))

    def has_key(self, source: str | None, doc_id: str | None) -> bool:
        """Whether records with a key are blocked; None: it is not known."""
        return source is not None and (source in self.sources or doc_id in self.doc_ids.get(source, ()))

    def has(self, source: str | None, doc_id: str | None, shard: str | None) -> bool:
        """Whether a record is blocked by its key, or by the path of its shard."""
        return shard in self.shards or self.has_key(source, doc_id)

    def entry_of(self, source: str, doc_id: str, shard: str) -> Blocked:
        """The widest entry that blocks a record."""
        if shard in self.shards:
            return Blocked(shard=shard)
        return Blocked(source) if source in self.sources else Blocked(source, doc_id)


NOTHING_BLOCKED = BlockList()
