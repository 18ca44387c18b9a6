"""Which pairs and triples of actors are explored."""

from __future__ import annotations

from dataclasses import dataclass

from tests.interleavings.scenario import Scenario

_PAIRS = """
embed+embed/heartbeats embed+embed/apart embed+embed-other embed+embed-all embed+embed-other/none embed-all+embed/small
embed+merge embed+retry embed+replace embed+remove-a embed+score embed+signal embed+dedup embed+copies embed+delete
embed+clear embed+clean embed-ahead+clean/none embed+drop
retry+retry-other retry+replace retry+remove retry+score replace+replace-other replace+remove replace+score
replace+merge retry+merge replace+copies
remove+remove remove+score remove+signal remove+dedup remove+merge remove+delete remove+copies remove+clean
score+score/heartbeats score+score-all score+signal score+dedup score+merge score+copies score+delete score+clear
score+clean signal+signal signal+dedup dedup+dedup dedup+merge copies+merge delete+merge clear+merge clear+score-all
index+score index+remove index+delete index+copies update-index+embed update-index+merge
embed+cleanup score+cleanup remove+cleanup replace+cleanup merge+cleanup
embed+optimize score+optimize remove+optimize replace+optimize clear+optimize copies+optimize dedup+optimize
embed+foreign-delete score+foreign-delete remove+foreign-delete retry+foreign-delete
"""

_WITH_FAULTS = """
embed/! embed/?- embed/^ embed/none/^ replace/^ score/^ remove/^ embed+embed-other/^ embed+remove-a/^
embed/none/! embed/none/?- embed-all/small/! replace/! replace/?- retry/! retry/?- remove/! remove/?-
score/! score/?- signal/! signal/?- dedup/! dedup/?- copies/! copies/?- delete/! delete/?- clear/! clear/?-
embed+embed/heartbeats/! embed+embed/apart/! embed+embed-other/! embed+embed-other/?- embed+embed-other/none/?-
embed+score/! embed+score/?- replace+remove/! replace+remove/?- retry+retry-other/?- score+score/! remove+score/?-
embed+clean/! score+clean/! embed-other+clean/apart/! dedup+score/!
"""

_TRIPLES = """
embed+embed-other+merge embed+embed-other+score embed+embed-other+remove-a embed+retry+remove embed+score+signal
replace+score+remove embed+clean+score embed+embed+clean/heartbeats retry+replace+merge dedup+score+remove
copies+score+embed-d embed+embed-other+embed-all score+merge+delete replace+copies+score
"""

PAIRS = [Scenario.named(name) for name in _PAIRS.split()]
WITH_FAULTS = [Scenario.named(name) for name in _WITH_FAULTS.split()]
TRIPLES = [Scenario.named(name) for name in _TRIPLES.split()]


@dataclass(frozen=True)
class KnownFault:
    scenario: str
    schedule: str
    """the shortest that shows it"""
    why: str


_MERGE = "a merge moves its handle past another run's commit, whose rows are then brought in again"
_CLEANED = (
    "`verify --clean` removes what a run has staged that holds no lease; the run commits it, and no file is there"
)
_VERSIONS = "another tool's cleanup removes the version that a command works from: "

KNOWN = [
    KnownFault("embed+embed-other", "B10,A10,B1", _MERGE),
    KnownFault("embed-ahead+clean/none/store", "A6,B1", _CLEANED),
    KnownFault("embed-ahead+embed+clean/!/store", "A9,B18,B!,C40,A1", _CLEANED),
    KnownFault("score-all+optimize+cleanup", "A9,B2,C1", f"{_VERSIONS}what it reads is not there: a traceback"),
    KnownFault(
        "merge+score+cleanup", "A1,B20,b1,B3,C1", f"{_VERSIONS}its merge then takes back scores that came since"
    ),
]
