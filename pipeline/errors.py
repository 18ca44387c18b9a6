"""The errors a user can mend. Each message is one line: what, where, and the mend.

    SiglaneError            exit 1: the run failed
    ├── UsageError          exit 2: the command or its configuration is wrong; nothing was started
    ├── InputError          exit 1: the input cannot be read as asked
    ├── LostError           exit 1: processes or nodes of the cluster went away, again and again
    ├── StorageError        exit 1: a store failed, refused or stalled; never the fault of a sample
    ├── RowsLostError       exit 1: rows got lost between a file and the table; a fault of siglane
    ├── EstimateError       exit 1: the scores do not support the estimate asked for
    └── TableError          exit 1: the table cannot be used as asked
        └── IdentityError   exit 1: the table holds another model's vectors

What is not below `SiglaneError` (or `siglip_core.errors.SiglipError`) is a bug and shows its traceback.
"""


class SiglaneError(Exception):
    """A failure with a known cause; `str()` of it is one line fit for a user."""


class UsageError(SiglaneError):
    """The command line or a configuration file is wrong."""


class InputError(SiglaneError):
    """The input does not exist, or is not what it was said to be."""


class LostError(SiglaneError):
    """A part of a run is gone with the process or the node that held it; what is left can be run again."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}; run the same command again to go on")
        self.what = what


class StorageError(SiglaneError):
    """A store failed, refused or stalled, also after retries: the run ends, and the same command goes on later."""


class RowsLostError(SiglaneError):
    """Two counts of the same samples differ: a sample was read, or should have been, and is not in the table."""

    def __init__(self, counts: str) -> None:
        super().__init__(
            f"{counts}; what is committed is right, but samples are missing: run the same command again, which embeds "
            "what is missing, and report this as a fault of siglane"
        )


class EstimateError(SiglaneError):
    """The data does not say what was asked of it: too few pairs, or scores that tell right from wrong too badly."""


class TableError(SiglaneError):
    """The table is absent, foreign, or in a state that the command cannot use."""


class IdentityError(TableError):
    """The table was made by another model, preprocessing or precision."""
