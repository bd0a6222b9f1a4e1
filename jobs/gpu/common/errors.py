"""Errors of the model side, beside those of ``pivot_udfs.errors``."""

from pivot_udfs.errors import SemanticPivotsError


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
