"""Several stretches of work as one."""

from __future__ import annotations

from effnet_lite.progress import PARTS, Whole


def told(*calls, **expected):
    """What is told of these calls."""
    found = []
    whole = Whole(lambda *call: found.append(call), expected)
    for call in calls:
        whole(*call)
    return found


def test_stretches_take_what_is_expected_of_them():
    calls = [(1, 2, "a"), (2, 2, "a"), (1, 4, "b"), (4, 4, "b")]
    assert told(*calls, a=1.0, b=3.0) == [
        (PARTS // 8, PARTS, "a"),
        (PARTS // 4, PARTS, "a"),
        (PARTS // 4 + 3 * PARTS // 16 + 1, PARTS, "b"),  # rounded
        (PARTS, PARTS, "b"),
    ]


def test_a_whole_never_goes_back():
    calls = [(3, 4, "a"), (1, 4, "a"), (1, 1, "b"), (1, 1, "a"), (9, 4, "b")]
    assert [done for done, *_ in told(*calls, a=1.0, b=1.0)] == [375, 375, 1000, 1000, 1000]


def test_the_unexpected_changes_nothing_but_the_label():
    calls = [(1, 2, "a"), (1, 2, "c"), (7, None, "b"), (2, 2, "a")]
    assert told(*calls, a=1.0, b=1.0) == [
        (250, PARTS, "a"), (250, PARTS, "c"), (250, PARTS, "b"), (500, PARTS, "a")
    ]  # fmt: skip
