"""One exception tree. Every message names the thing, the value and the way out, in one line.

All of these end a command with exit status 2; `byrote run` counts a `StageError` and continues with the next trial.
"""


class ByroteError(Exception):
    """Something the user can fix. It carries one line of text, so it can be pickled between processes."""


class StudyError(ByroteError):
    """The study file, an override on the command line, or a combination of settings is wrong."""


class CorpusError(ByroteError):
    """Records cannot be read, or would make the measurement void."""


class ModelError(ByroteError):
    """A base model, its tokenizer or its adapter cannot be found, loaded or adapted."""


class StoreError(ByroteError):
    """A run folder cannot be read or written: locked, incomplete, no space left."""


class StageError(ByroteError):
    """One stage of one trial failed. Its error and traceback are in the run folder; other trials continue."""
