"""Explains one token: its rank and the word pairs that make it a pivot, or why it is none.

    python jobs/explain_pivot.py --config conf/demo.toml --token " water"
    python jobs/explain_pivot.py --config conf/demo.toml --token-id 1708 --format json

It reads the tables without Spark.
"""

from argparse import ArgumentParser
from functools import partial

from jobs.explaining.explain_token import TOKEN_TABLES, explain_token, token_id_of
from jobs.explaining.print_explanation import print_explanation, print_plan
from jobs.framework.command_line import Arguments, run_command
from jobs.warehouse.arrow_tables import ArrowTables
from pivot_udfs.errors import ConfigError, TokenizerError
from pivot_udfs.provenance import other_content
from pivot_udfs.settings import Settings
from pivot_udfs.tokenization.backends import load_tokenizer
from pivot_udfs.tokenization.vocabulary import Vocabulary, vocabulary


class TokenArguments(Arguments):
    """Which token to explain, and how."""

    token_id: int
    """None where ``token`` is given."""
    token: str | None
    format: str

    def add_to(self, parser: ArgumentParser) -> None:
        """Adds the token and the format."""
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--token-id", type=int, help="id in the tokenizer's vocabulary")
        which.add_argument("--token", help="text of the token, with its spaces, as in the column token")
        parser.add_argument("--format", choices=("text", "json"), default="text", help="of the explanation")


def run(settings: Settings, arguments: TokenArguments) -> None:
    """Prints the explanation."""
    tables, vocab, token_id = _asked_for(settings, arguments)
    print_explanation(explain_token(tables, vocab, token_id), tables.release, arguments.format == "json")


def plan(settings: Settings, arguments: TokenArguments) -> None:
    """Prints which token would be explained; raises as ``run`` where it, or a table, is not there."""
    tables, vocab, token_id = _asked_for(settings, arguments)
    print_plan(f"token {token_id}, {vocab.texts[token_id]!r}", tables, TOKEN_TABLES)


def _asked_for(settings: Settings, arguments: TokenArguments) -> tuple[ArrowTables, Vocabulary, int]:
    tables = ArrowTables(settings.warehouse.path, settings.warehouse.release)
    vocab = _vocabulary(settings, tables)
    token_id = arguments.token_id if arguments.token is None else token_id_of(vocab, arguments.token)
    if not 0 <= token_id < vocab.size:
        raise ConfigError(f"--token-id {token_id}: expected 0 to {vocab.size - 1}")
    return tables, vocab, token_id


def _vocabulary(settings: Settings, tables: ArrowTables) -> Vocabulary:
    """Of the configured tokenizer, which must be the one that the pivots were found with."""
    tokenizer = load_tokenizer(settings.tokenizer.path, "reference")
    made = tables.provenance("pivots").files["tokenizer"]
    if made != tokenizer.sha256:
        raise TokenizerError(
            f"{tables.table_path('pivots')} was made with {other_content('tokenizer', made, tokenizer.sha256)}: set "
            "tokenizer.path to the table's"
        )
    return vocabulary(tokenizer)


main = partial(
    run_command, "explain_pivot", __doc__, Settings, run, plan=plan, arguments=TokenArguments, reads_release=True
)


if __name__ == "__main__":
    raise SystemExit(main())
