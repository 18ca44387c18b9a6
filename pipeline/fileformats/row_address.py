"""Lance's row addresses: the upper 32 bits are the number of the fragment, the lower 32 the row's offset in it.

An address is valid until its fragment is merged into another one. Deleting other rows does not change it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

ROW_ADDRESS = "_rowaddr"
"""the column, of type uint64, in which Lance returns addresses"""
PLACE_BITS = 32
PLACES_PER_FRAGMENT = 1 << PLACE_BITS
"""more than the rows of any fragment"""

Addresses = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]


def places_of(addresses: Addresses) -> Places:
    """The offset of each row in its fragment, [N]."""
    places: Places = (addresses & np.uint64(PLACES_PER_FRAGMENT - 1)).astype(np.int64)
    return places


def fragments_of(addresses: Addresses) -> Places:
    """The number of the fragment of each row, [N]."""
    numbers: Places = (addresses >> np.uint64(PLACE_BITS)).astype(np.int64)
    return numbers


def addresses_in(fragment: int, places: Places) -> Addresses:
    """The addresses of the rows at these offsets of one fragment, [N]."""
    return (np.uint64(fragment) << np.uint64(PLACE_BITS)) + places.astype(np.uint64)


def by_fragment(addresses: Addresses) -> Mapping[int, Places]:
    """The offsets, sorted and without duplicates, by the number of their fragment."""
    ordered = np.unique(addresses)
    fragments, starts = np.unique(fragments_of(ordered), return_index=True)
    return dict(zip(fragments.tolist(), np.split(places_of(ordered), starts)[1:], strict=True))
