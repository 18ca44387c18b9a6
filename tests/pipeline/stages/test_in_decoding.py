"""What is being decoded is seen in the memory that two processes share."""

from __future__ import annotations

import os
import subprocess
import sys

from pipeline.stages.in_decoding import InDecoding

DYING = """
import os, sys
from pipeline.stages.in_decoding import InDecoding
with InDecoding(int(sys.argv[1]), 3).at(1, 4, 2**40):
    os._exit(9)
"""


def test_an_image_is_seen_while_it_is_decoded() -> None:
    board = InDecoding.create(2)
    assert board.begun() == []
    with board.at(1, 0, 7), board.at(0, 3, 8):
        found = board.begun()
        assert [(each.source, each.row) for each in found] == [(3, 8), (0, 7)]
        assert all(0 <= each.seconds < 60 for each in found)
    assert board.begun() == []


def test_what_a_process_decoded_when_it_died_is_seen_by_another() -> None:
    board = InDecoding.create(3)
    code = subprocess.run(
        [sys.executable, "-c", DYING, str(board.descriptor)],
        pass_fds=[board.descriptor],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    ).returncode
    assert code == 9
    assert [(each.source, each.row) for each in board.begun()] == [(4, 2**40)]
