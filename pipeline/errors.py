"""The errors that a user can fix. Each message is one line: place, cause and fix.

    SiglaneError            exit 1: the run failed
    ├── UsageError          exit 2: the command or its configuration is wrong; nothing was started
    ├── InputError          exit 1: the input cannot be read with these options
    ├── LostError           exit 1: processes or nodes of the cluster died repeatedly
    ├── StorageError        exit 1: a store failed, refused or stalled; never the fault of a sample
    ├── RowsLostError       exit 1: rows were lost between a file and the table; a bug of siglane
    ├── EstimateError       exit 1: the scores do not support the requested estimate
    ├── SignalError         exit 1: a signal of the user's own raised an error, or returned something else than it says
    └── TableError          exit 1: the table cannot be used for this command
        ├── IdentityError   exit 1: the table holds vectors of another model
        └── OutdatedError   exit 1: another program removed the version that was being read

Any error outside `SiglaneError` (and `siglip_core.errors.SiglipError`) is a bug, and shows its traceback.
"""


class SiglaneError(Exception):
    """A failure with a known cause. Its `str()` is one line for the user."""


class UsageError(SiglaneError):
    """The command line or a configuration file is wrong."""


class InputError(SiglaneError):
    """The input does not exist, or does not match the options."""


class LostError(SiglaneError):
    """A process or node died, and part of the run was lost with it. The same command continues the run."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}; run the same command again to continue")
        self.what = what


class StorageError(SiglaneError):
    """A store failed, refused or stalled, even after retries. The run ends; the same command continues it later."""


class RowsLostError(SiglaneError):
    """Two counts of the same samples differ: a sample that was read, or should have been, is not in the table."""

    def __init__(self, counts: str) -> None:
        super().__init__(
            f"{counts}; the committed rows are correct, but samples are missing: run the same command again to embed "
            "them, and report this as a bug of siglane"
        )


class EstimateError(SiglaneError):
    """The data cannot answer the question: too few pairs, or scores that separate right from wrong too badly."""


class SignalError(SiglaneError):
    """A signal that is not built in raised an error, or returned something else than its columns."""


class TableError(SiglaneError):
    """The table is missing, was not made by siglane, or cannot be used by this command."""


class IdentityError(TableError):
    """The table was made by another model, preprocessing or precision."""


class OutdatedError(TableError):
    """Another program removed files of the version that was being read. The newest version does not need them."""
