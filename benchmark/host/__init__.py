"""Timing on this machine: processes, delegates, and what disturbs."""
