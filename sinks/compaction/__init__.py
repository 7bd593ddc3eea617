"""Merging the many small files of a partition into few, and removing what was merged."""
