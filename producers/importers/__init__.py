"""Reading what other tools have recorded of agents into events."""
