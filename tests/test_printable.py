"""Text that stays one line, whatever it holds."""

from effnet_lite.printable import printable


def test_printable():
    assert printable("a\nb\tc\0d\udcffe") == "a?b?c?d?e"
    assert printable("猫 é <b>") == "猫 é <b>"
    assert "\u202e" not in printable("a\u202eb")  # turns the writing direction
