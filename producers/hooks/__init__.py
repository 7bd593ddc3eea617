"""Hooks into what agents are built with; each module needs the library that it hooks into.

A hook never raises into the library that calls it.
"""
