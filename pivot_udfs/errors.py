"""The errors a user can fix, named by what must be changed; a message says what was got, expected, and what to do."""

import os


class SemanticPivotsError(Exception):
    """Base of all errors that this project raises on purpose: a message, and further lines as further arguments."""

    exit_code = 2
    """Of a process that ends with the error: someone has to change something."""

    def __str__(self) -> str:
        return "\n  ".join(str(part) for part in self.args)


class ConfigError(SemanticPivotsError):
    """A key of the configuration is unknown, of a wrong type, or impossible: change the TOML file or ``--set``."""


class SetupError(SemanticPivotsError):
    """The machine does not allow the run: Java, Spark, a disk, permissions, memory or a limit of the system."""


class CorpusError(SemanticPivotsError):
    """The input shards cannot be found or listed, or too many of their records are rejected: change ``[corpus]``."""


class LexiconError(SemanticPivotsError):
    """The lexicon file cannot be read: change the file or ``lexicon.languages``."""


class TokenizerError(SemanticPivotsError):
    """The tokenizer file cannot be read or does not fit: change ``tokenizer.path``."""


class WarehouseError(SemanticPivotsError):
    """A table is missing, damaged, or was made by another configuration: run the stage that makes it."""


class StoreError(SemanticPivotsError):
    """A path or URI cannot be used: not supported, malformed, or a shard whose store fails or refuses access."""


class DamagedTableError(WarehouseError):
    """Files of a table or of its log are missing or cut: the message names the remedy."""


class MissingVersionError(WarehouseError):
    """The rows of a named version are gone: its log was cleaned up, its files removed, or its table made anew."""


class TransientError(WarehouseError):
    """A fault that can pass: a store does not answer, or another run or tool uses or has changed the tables."""

    exit_code = os.EX_TEMPFAIL
    """75: the same command can succeed later, so that a scheduler should run it again."""


class ModelError(SemanticPivotsError):
    """The model cannot be loaded or read: use another model, or allow what it needs."""


class TaskError(SemanticPivotsError):
    """The translation task is empty, damaged, or was made for something else: build it again."""


class PackedFileError(SemanticPivotsError):
    """A packed file is missing, cut short, altered, or made for another tokenizer: pack it again."""


class CheckpointError(SemanticPivotsError):
    """A checkpoint is damaged, or belongs to another model, data or configuration."""


class TrainingError(SemanticPivotsError):
    """Training cannot continue; the last checkpoint is kept."""
