"""Removing all that is stored of a subject, and proving that nothing is left."""
