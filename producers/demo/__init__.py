"""A made-up fleet of agents, so that someone without agents of their own sees every screen."""

from runfold.producers.demo.bad_records import BadRecord
from runfold.producers.demo.counts import FleetCounts
from runfold.producers.demo.fleet import DemoRecord, generate_fleet, generate_live

__all__ = ["BadRecord", "DemoRecord", "FleetCounts", "generate_fleet", "generate_live"]
