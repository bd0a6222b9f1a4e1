"""The errors a user can meet, named by who must act; every message says what was got, expected, and to do."""


class SemanticPivotsError(Exception):
    """Base of all errors that this project raises on purpose."""


class ConfigError(SemanticPivotsError):
    """A key of the configuration is unknown, of a wrong type, or impossible: mend the TOML or ``--set``."""


class CorpusError(SemanticPivotsError):
    """The input shards cannot be found or listed: mend ``corpus.inputs``."""


class LexiconError(SemanticPivotsError):
    """The lexicon file cannot be read: mend the file or ``lexicon.languages``."""


class TokenizerError(SemanticPivotsError):
    """The tokenizer file cannot be read or does not fit: mend ``tokenizer.path``."""


class WarehouseError(SemanticPivotsError):
    """A table is missing, damaged, or was made by another configuration: run the stage that makes it."""


class StoreError(SemanticPivotsError):
    """A path or URI cannot be used: its scheme is not supported, or it is malformed."""
