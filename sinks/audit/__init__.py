"""Proving that nothing was lost and nothing counted twice, or naming what was."""
