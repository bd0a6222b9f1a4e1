"""The block list: the records that are kept out of every table."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Blocked(NamedTuple):
    """A row of the table ``blocked``: a key, a whole source (``doc_id`` None), or a shard (only ``shard`` set)."""

    source: str | None = None
    doc_id: str | None = None
    shard: str | None = None


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

    @classmethod
    def of(cls, entries: Iterable[Blocked]) -> "BlockList":
        """The block list with these entries."""
        doc_ids: dict[str, set[str]] = {}
        sources, shards = set(), set()
        for source, doc_id, shard in entries:
            if shard is not None:
                shards.add(shard)
            elif source is not None and doc_id is not None:
                doc_ids.setdefault(source, set()).add(doc_id)
            elif source is not None:
                sources.add(source)
        return cls({source: frozenset(ids) for source, ids in doc_ids.items()}, frozenset(sources), frozenset(shards))

    def has_key(self, source: str, doc_id: str) -> bool:
        """Whether records with a key are blocked."""
        return source in self.sources or doc_id in self.doc_ids.get(source, ())

    def has(self, source: str, doc_id: str, shard: str) -> bool:
        """Whether a document is blocked."""
        return shard in self.shards or self.has_key(source, doc_id)

    def entry_of(self, source: str, doc_id: str, shard: str) -> Blocked:
        """The widest entry that blocks a document."""
        if shard in self.shards:
            return Blocked(shard=shard)
        return Blocked(source) if source in self.sources else Blocked(source, doc_id)


NOTHING_BLOCKED = BlockList()
