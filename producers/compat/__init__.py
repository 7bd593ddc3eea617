"""Modules that stand in for the clients that did this job before, call by call."""
