"""Checking what one request sends: which of its items are taken, and what is wrong with others."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from runfold.producers.collector.access import Caller
from runfold.producers.collector.agent_framework.answers import Invalid
from runfold.producers.collector.agent_framework.issues import (
    Issue,
    issues_of,
    missing,
    out_of_bounds,
    received_type,
    unmet_issue,
    wrong_type,
)
from runfold.producers.collector.agent_framework.items import ITEM, MOST_EVENTS, Item, unmet_rules
from runfold.producers.collector.problems import Problem

T = TypeVar("T")


@dataclass(slots=True)
class Checked:
    """The items of a batch by their index: those to be taken, and the issues of the others."""

    items: dict[int, Item] = field(default_factory=dict)
    issues: dict[int, list[Issue]] = field(default_factory=dict)

    def all_issues(self) -> list[Issue]:
        """Return the issues of all items, in their order."""
        return [issue for _, issues in sorted(self.issues.items()) for issue in issues]


def check_batch(body: Any, *, strict: bool) -> Checked:
    """Return what is right and wrong with the items of a batch.

    Raises: Invalid where it is no batch of 1 to 100 items, and where `strict` is set and any item
    is wrong by the second generation's rules.
    """
    checked = Checked()
    for index, each in enumerate(_events_in(body)):
        at = ("events", index)
        try:
            item = ITEM.validate_python(each)
        except ValidationError as error:
            checked.issues[index] = issues_of(error, at)
            continue
        issues = [unmet_issue(unmet, item, at) for unmet in unmet_rules(item, strict=strict)]
        if issues:
            checked.issues[index] = issues
        else:
            checked.items[index] = item
    if checked.issues and (strict or not checked.items):
        raise Invalid(checked.all_issues())
    return checked


def check(adapter: TypeAdapter[T], body: Any) -> T:
    """Return `body` as what it is to be. Raises: Invalid."""
    try:
        return adapter.validate_python(body)
    except ValidationError as error:
        raise Invalid(issues_of(error)) from error


def refuse_other_hosts(body: Any, caller: Caller) -> None:
    """Refuse a batch with an event of another host than the caller's. Raises: Problem 400."""
    events = body.get("events") if isinstance(body, dict) else None
    for each in events if isinstance(events, list) else []:
        host = each.get("hostId") if isinstance(each, dict) else None
        if caller.host is not None and isinstance(host, str) and host != caller.host:
            raise Problem(400, f"Host ID mismatch: expected {caller.host}")


def _events_in(body: Any) -> list[Any]:
    path = ("events",)
    if not isinstance(body, dict):
        raise Invalid([wrong_type("object", received_type(body), ())])
    if "events" not in body:
        raise Invalid([missing("array", path)])
    events = body["events"]
    if not isinstance(events, list):
        raise Invalid([wrong_type("array", received_type(events), path)])
    if not events:
        raise Invalid([out_of_bounds("array", 1, path, below=True)])
    if len(events) > MOST_EVENTS:
        raise Invalid([out_of_bounds("array", MOST_EVENTS, path, below=False)])
    return events
