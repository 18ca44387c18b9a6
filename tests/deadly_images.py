"""Images that kill or hang the process that decodes them, by bytes at their end."""

from __future__ import annotations

from textwrap import indent


def broken_decoder(module: str, more_cases: str = "") -> str:
    """A program for `sitecustomize`, which Python runs in every process that finds it on its path: in one that runs
    this module, decoding an image with such bytes kills or hangs it. `more_cases`: statements about `image`."""
    return f"""
import os, signal, sys, time
if "{module}" in " ".join(sys.orig_argv):
    from siglip_core import preprocess
    whole = preprocess.decode
    def decode(image, *arguments, **more):
        if b"SEGFAULT" in image:
            os.kill(os.getpid(), signal.SIGSEGV)
        if b"EXIT" in image:
            os._exit(3)
        if b"HANG" in image:
            time.sleep(1000)
{indent(more_cases.strip(), " " * 8)}
        return whole(image, *arguments, **more)
    preprocess.decode = decode
"""
