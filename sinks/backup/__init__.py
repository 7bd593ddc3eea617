"""Copies of a lake in another place, made while workers run, and getting a lake back from one."""
