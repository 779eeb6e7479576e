"""The Edge TPU: what will map, compiling, and the devices that are there."""
