"""Icons that are damaged or too large."""

import struct

import pytest

from siglip_core import ImageError, images
from tests.siglip_core.images import drawn


def bitmap(width: int, height: int) -> bytes:
    return struct.pack("<IiiHHIIiiII", 40, width, 2 * height, 1, 32, 0, 0, 0, 0, 0, 0)


def test_a_bomb_is_refused_by_the_header_of_its_image() -> None:
    with pytest.raises(ImageError, match="ICO of 60000 x 60000 pixels") as caught:
        images.read(drawn.icon([(24, 32, bitmap(60000, 60000))]))
    assert caught.value.reason == "too-large"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (drawn.icon([(24, 32, b"")]), "ICO: none of its 1 images has a header"),
        (struct.pack("<3H", 0, 1, 65535) + bytes(1000), "ICO: none of its 65535 images has a header"),
        (drawn.icon([(24, 32, bitmap(24, 18))]), "damaged ICO: image file is truncated"),
    ],
)
def test_a_damaged_icon_is_refused_with_the_reason(data: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message) as caught:
        images.read(data)
    assert caught.value.reason == "decode"


def test_one_damaged_image_does_not_cost_the_others() -> None:
    good = drawn.dib(24, drawn.RGB[..., ::-1].reshape(drawn.HEIGHT, -1))
    picture = images.read(drawn.icon([(0, 32, b""), (24, 24, good)]))
    assert (picture.width, picture.height) == (drawn.WIDTH, drawn.HEIGHT)
