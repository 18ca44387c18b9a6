"""Lists and reads input files, on local disk and on any store that fsspec reaches. Transient failures are retried.

address       a folder, a file or a pattern -> its root and its alternatives
listing       addresses -> files: path below the root, URI, size, version
reading       a file's bytes: all of them, at random, or as a copy on local disk
filesystems   a URI -> fsspec's file system, set up from the environment
azure         Azure's connection string -> options for Lance
lance_store   the options of a store for Lance, and Lance's errors for a failing store
retries       which failures are retried, how long, and counts of retries by cause
redaction     keeps credentials and signatures out of messages, logs and tables
"""

from pipeline.storage import retries
from pipeline.storage.address import split_query, takes_in
from pipeline.storage.listing import File, Listing, described_version, list_files, sizes_in
from pipeline.storage.reading import TooLargeError, local_copy, open_file, read_bytes
from pipeline.storage.redaction import reason, redact, redact_options
from pipeline.storage.retries import AbsentError

__all__ = [
    "AbsentError",
    "File",
    "Listing",
    "TooLargeError",
    "described_version",
    "list_files",
    "local_copy",
    "open_file",
    "read_bytes",
    "reason",
    "redact",
    "redact_options",
    "retries",
    "sizes_in",
    "split_query",
    "takes_in",
]
