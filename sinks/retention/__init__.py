"""Removing what is older than it is to be kept, so that nobody takes it for lost."""
