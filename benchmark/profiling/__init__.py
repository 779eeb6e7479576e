"""Where the time of an inference goes: operators, layers, the roof above them."""
