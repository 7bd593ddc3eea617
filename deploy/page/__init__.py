"""A plain read-only page: the fleet, and one run's timeline. Server-rendered, from the lake."""
