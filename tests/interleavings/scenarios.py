"""Which pairs and triples of actors are explored."""

from __future__ import annotations

from dataclasses import dataclass

from tests.interleavings.scenario import Scenario

_PAIRS = """
embed+embed/heartbeats embed+embed/apart embed+embed-other embed+embed-all embed+embed-other/none embed-all+embed/small
embed+merge embed+retry embed+replace embed+remove-a embed+score embed+signal embed+dedup embed+copies embed+delete
embed+clear embed+clean embed+drop
retry+retry-other retry+replace retry+remove retry+score replace+replace-other replace+remove replace+score
replace+merge retry+merge replace+copies
remove+remove remove+score remove+signal remove+dedup remove+merge remove+delete remove+copies remove+clean
score+score/heartbeats score+score-all score+signal score+dedup score+merge score+copies score+delete score+clear
score+clean signal+signal signal+dedup dedup+dedup dedup+merge copies+merge delete+merge clear+merge clear+score-all
embed+index index+merge embed+embed-other/store embed-ahead+remove-a
index+score index+remove index+delete index+copies update-index+embed update-index+merge
embed+cleanup score+cleanup remove+cleanup replace+cleanup merge+cleanup
embed-ahead+clean embed-ahead+clean/none score-all+clean merge+clean copies+clean delete+clean
embed+optimize score+optimize remove+optimize replace+optimize clear+optimize copies+optimize dedup+optimize
embed+purge embed+purge/small embed-all+purge retry+purge replace+purge remove+purge score+purge signal+purge
dedup+purge merge+purge merge+purge/small embed-ahead+purge copies+purge
delete+purge clear+purge clean+purge index+purge purge+purge
embed+foreign-delete score+foreign-delete remove+foreign-delete retry+foreign-delete
"""

_WITH_FAULTS = """
embed/! embed/?- embed/^ embed/none/^ replace/^ score/^ remove/^ embed+embed-other/^ embed+remove-a/^
embed/none/! embed/none/?- embed-all/small/! replace/! replace/?- retry/! retry/?- remove/! remove/?-
purge/! purge/?- purge/^
score/! score/?- signal/! signal/?- dedup/! dedup/?- copies/! copies/?- delete/! delete/?- clear/! clear/?-
embed+embed/heartbeats/! embed+embed/apart/! embed+embed-other/! embed+embed-other/?- embed+embed-other/none/?-
embed+score/! embed+score/?- replace+remove/! replace+remove/?- retry+retry-other/?- score+score/! remove+score/?-
embed+clean/! score+clean/! embed-ahead+embed+clean/! embed-ahead+clean/none/! clean/! clean/?-
embed-other+clean/apart/! dedup+score/!
"""

_TRIPLES = """
embed+embed-other+merge embed+embed-other+score embed+embed-other+remove-a embed+retry+remove embed+score+signal
replace+score+remove embed+clean+score embed+embed+clean/heartbeats retry+replace+merge dedup+score+remove
index+embed+score embed+embed-other+cleanup embed+remove-a+cleanup copies+score+embed-d embed+embed-other+embed-all
score+merge+delete replace+copies+score
embed+take-over+clean embed-ahead+take-over+clean score+take-over+clean replace+take-over+clean remove+take-over+clean
merge+score+cleanup merge+remove-a+cleanup/small merge+embed+cleanup/tagged embed+embed-other+cleanup/tagged
embed+embed+cleanup
signal+embed+cleanup dedup+remove-a+cleanup/tagged clear+merge+cleanup index+merge+cleanup copies+score+cleanup/tagged
embed+remove-a+purge score+remove+purge merge+remove-a+purge/small embed+take-over+purge score+take-over+purge
"""

PAIRS = [Scenario.named(name) for name in _PAIRS.split()]
WITH_FAULTS = [Scenario.named(name) for name in _WITH_FAULTS.split()]
TRIPLES = [Scenario.named(name) for name in _TRIPLES.split()]


@dataclass(frozen=True)
class Fault:
    """A fault that was found, and the shortest schedule that shows it."""

    scenario: str
    schedule: str
    what: str


_CLEANED = "`verify --clean` removed what a run had staged that held no lease by then, and was about to commit"
_REVERTED = (
    "Lance compared a commit with none of those since whose versions another tool's cleanup had removed: what they did "
    "was undone, or their rows came in again"
)

FIXED = [
    Fault(
        "embed+embed-other", "A10,B1", "a merge moved its handle past a commit of another run: its rows came in again"
    ),
    Fault("score-all+optimize+cleanup", "A9,B2,C1", "a file that another tool's cleanup had removed was a traceback"),
    Fault("embed-ahead+clean/none", "A6,B8,A6,B1", _CLEANED),
    Fault("embed-ahead+clean/none", "A6,B9,A17,B1", _CLEANED),
    Fault("embed-ahead+embed+clean/!", "A10,B18,B!,C40,A1", _CLEANED),
    Fault("embed+take-over+clean", "A9,B4,C1", _CLEANED),
    Fault("score+take-over+clean", "A17,B4,C1", _CLEANED),
    Fault("score+take-over+clean", "A18,B4,C1", _CLEANED),
    Fault("merge+score+cleanup", "A1,B20,b1,B3,C1", _REVERTED),
    Fault("merge+remove-a+cleanup/small", "A1,B10,b1,B3,C1", _REVERTED),
    Fault("embed+embed-other+cleanup/tagged", "A1,B27,C1", _REVERTED),
    Fault("embed+embed+cleanup", "A6,B10,C1", "a lease was taken from a living run, whose version had been removed"),
]
