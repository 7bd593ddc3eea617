"""The git repository that an agent works in, read from its files, and links into its web pages."""

from runfold.producers.git_context.context import GitContext, read_git_context
from runfold.producers.git_context.status import GitStatus, ask_git
from runfold.producers.git_context.watch import GitWatch
from runfold.producers.git_context.web_urls import Platform, commit_url, platform_of, web_url

__all__ = [
    "GitContext",
    "GitStatus",
    "GitWatch",
    "Platform",
    "ask_git",
    "commit_url",
    "platform_of",
    "read_git_context",
    "web_url",
]
