"""Documents, sources or shards to forget; every table without them, as a rebuild without them makes it.

    spark-submit jobs/forget_documents.py --config conf/demo.toml
        (--keys FILE | --sources NAME... | --shards SHARD...) [--artefacts FOLDER...] [--purge] [--dry-run]

What is forgotten is added to the table ``blocked``, which later rebuilds read, so that it stays out.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from functools import partial

from jobs import rebuild_corpus, write_report
from jobs.forgetting.block_list_table import add_entries, read_entries
from jobs.forgetting.find_copies import check_folders, copies, tables_with_rows
from jobs.forgetting.read_requests import read_keys, shards_named, with_copies
from jobs.forgetting.remove_records import Found, find_records, remove_records, rows_after, sources_named
from jobs.framework.command_line import Arguments
from jobs.framework.log_lines import clean
from jobs.framework.run_stages import with_run
from jobs.framework.stage import Run
from jobs.loading.compare_shards import LoadedShard, read_loaded
from jobs.loading.restore_tables import restored
from jobs.warehouse.delta.maintenance import purge
from pivot_udfs.errors import ConfigError, WarehouseError
from pivot_udfs.shards.block_list import Blocked, BlockList

_NAME = "forget_documents"
_MOST_NAMES = 10
"""How many entries without a document are named."""


class Request(Arguments):
    """What is to be forgotten."""

    keys: str | None
    sources: list[str] | None
    shards: list[str] | None
    artefacts: list[str]
    purge: bool

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        """Adds the arguments."""
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--keys", metavar="FILE", help="JSON lines or TSV with source and doc_id of documents")
        what.add_argument("--sources", nargs="+", metavar="NAME", help="all documents of these sources, names or globs")
        what.add_argument("--shards", nargs="+", metavar="SHARD", help="paths, folders or globs, as in corpus.inputs")
        parser.add_argument(
            "--artefacts",
            nargs="+",
            default=[],
            metavar="FOLDER",
            help="searched for packed datasets, checkpoints and models that were made from what is forgotten",
        )
        parser.add_argument("--purge", action="store_true", help="remove the files of older versions of the tables")

    def entries(self, run: Run, loaded: Mapping[str, LoadedShard]) -> set[Blocked]:
        """Rows for the block list; globs stand for the loaded shards that they match, and these for their copies."""
        if self.keys is not None:
            return read_keys(self.keys)
        if self.sources:
            kind, (sources, missing) = "source", sources_named(run, self.sources)
            entries = {Blocked(source) for source in sources}
        else:
            kind, (entries, missing) = "shard", shards_named(self.shards or [], loaded)
        if not entries:
            raise ConfigError(f"--{kind}s {' '.join(missing)} matches no {kind}: nothing is forgotten")
        if missing:
            run.progress.say(_NAME, f"warning: no loaded {kind} is named by {', '.join(missing)}")
        return with_copies(entries, loaded)


def run(run: Run, request: Request) -> None:
    """Blocks, removes what is blocked from all tables, and lists what still holds it."""
    check_folders(request.artefacts)
    loaded = read_loaded(run.warehouse.location("shards"))
    entries = request.entries(run, loaded)
    documents = run.warehouse.content("documents")
    if not loaded or documents is None or documents.provenance is None:
        add_entries(run.warehouse, entries)
        run.progress.say(_NAME, "no shard is loaded yet: what is blocked stays out when rebuild_corpus loads it")
        return
    if not restored(run, _NAME, documents.provenance):
        add_entries(run.warehouse, entries)
        raise WarehouseError("the tables cannot be restored: run rebuild_corpus, which leaves these documents out")
    _forget(run, entries, loaded)
    half_loaded = run.half_loaded()
    if not half_loaded:
        rebuild_corpus.run_changed(run, rebuild_corpus.STAGES[1:])
    if request.purge:
        run.warehouse.check_marker()
        n_files = sum(purge(run.warehouse.location(table)) for table in tables_with_rows(run))
        run.progress.say(_NAME, f"{n_files:,} files of older versions are removed")
    _print_copies(run, request)
    if half_loaded:
        raise WarehouseError(
            f"{half_loaded}: documents and quarantine are without what is forgotten, and no release is added; "
            "run rebuild_corpus, which removes it from the other tables, then this again"
        )


def plan(run: Run, request: Request) -> None:
    """What would be forgotten."""
    check_folders(request.artefacts)
    loaded = read_loaded(run.warehouse.location("shards"))
    entries, present = request.entries(run, loaded), read_entries(run.warehouse)
    blocks = BlockList.of(present | entries)
    found = find_records(run, blocks, ["documents"])
    _describe(run, entries, present, found)
    _check_left(run, blocks, found, loaded)


def _forget(run: Run, entries: set[Blocked], loaded: dict[str, LoadedShard]) -> None:
    present = read_entries(run.warehouse)
    blocks = BlockList.of(present | entries)
    found = find_records(run, blocks)
    _describe(run, entries, present, found)
    _check_left(run, blocks, found, loaded)
    add_entries(run.warehouse, entries)
    if run.unapplied_block_list():
        remove_records(run, blocks, found, loaded)


def _check_left(run: Run, blocks: BlockList, found: Sequence[Found], loaded: Mapping[str, LoadedShard]) -> None:
    kept = {path: row for path, row in loaded.items() if path not in blocks.shards}
    if loaded and not any(row.n_docs for row in rows_after(found, kept).values()):
        raise ConfigError(f"no document would be left, nothing is forgotten: remove {run.warehouse.path} instead")


def _describe(run: Run, entries: set[Blocked], present: set[Blocked], found: Sequence[Found]) -> None:
    documents = [each for each in found if each.table == "documents"]
    n_docs, n_shards = sum(each.n_records for each in documents), len({each.in_shard for each in documents})
    run.progress.say(_NAME, f"{n_docs:,} documents of {n_shards:,} shards are blocked")
    given = {entry for entry in entries if not entry.content_id}  # those of contents go with their shards
    not_found = given - {each.entry for each in documents}
    if old := not_found & present:
        run.progress.say(_NAME, f"{len(old):,} of {len(given):,} were on the block list before")
    missing = sorted(map(_named, not_found - present))
    if missing:
        names = ", ".join(missing[:_MOST_NAMES])
        run.progress.say(_NAME, f"warning: {len(missing):,} of {len(given):,} match no document: {names}")


def _named(entry: Blocked) -> str:
    return " ".join(part for part in entry if part is not None)


def _print_copies(run: Run, request: Request) -> None:
    compared = () if request.shards else ("source", "doc_id") if request.keys is not None else ("source",)
    lines = list(copies(run, request.artefacts, compared))
    lines += [f"{page}: the report of one release: remove it" for page in write_report.pages_of_releases(run)]
    sys.stdout.write("still holds what was forgotten:\n" if lines else "nothing else holds what was forgotten\n")
    sys.stdout.write("".join(f"  {clean(line)}\n" for line in lines))
    if not request.artefacts:
        sys.stdout.write("packed datasets, checkpoints and models were not looked for: give --artefacts FOLDER\n")


main = partial(with_run, _NAME, __doc__, rebuild_corpus.STAGES, run, plan=plan, arguments=Request)


if __name__ == "__main__":
    raise SystemExit(main())
