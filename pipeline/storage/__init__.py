"""Listing and reading input files, on local disk and on any store that fsspec reaches; all that fails is tried again.

address       a folder, a file or a pattern -> its root and its alternatives
listing       addresses -> files: path below the root, URI, size, version
reading       a file's bytes: whole, at random, or as a copy on local disk
filesystems   a URI -> fsspec's file system, set up from the environment
azure         what Azure's connection string says
lance_store   what Lance is told of a store, and what it says of one that fails
retries       what is tried again, for how long, and how often it was, by cause
redaction     keeps credentials and signatures out of whatever is shown
"""

from pipeline.storage import retries
from pipeline.storage.address import split_query, takes_in
from pipeline.storage.listing import File, Listing, list_files, sizes_in
from pipeline.storage.reading import TooLargeError, local_copy, open_file, read_bytes
from pipeline.storage.redaction import redact
from pipeline.storage.retries import AbsentError

__all__ = [
    "AbsentError",
    "File",
    "Listing",
    "TooLargeError",
    "list_files",
    "local_copy",
    "open_file",
    "read_bytes",
    "redact",
    "retries",
    "sizes_in",
    "split_query",
    "takes_in",
]
