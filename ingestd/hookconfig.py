"""Edge: the table [hooks] of the config."""

import json
import os
import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from ingestd.dicom.keywords import KEPT
from ingestd.section import Seconds, Section, absolute

#: Events that a hook may be told of.
Kind = Literal[
    "series_receiving",
    "series_quiet",
    "series_complete",
    "series_incomplete",
    "series_unknown",
    "series_reopened",
    "series_given_up",
    "series_gone",
    "volume_built",
    "root_healthy",
    "root_degraded",
    "root_unreachable",
    "gone_brake",
    "file_refused",
    "file_conflict",
    "source_lost",
    "disk_full",
    "disk_free",
]


class Hooks(Section):
    """Who is told of events: each event at least once, those of one series in their order."""

    command: tuple[str, ...] = ()
    """a program (absolute path) and its arguments, run without a shell; JSON on standard input"""
    url: str = ""
    """the same JSON is POSTed here"""
    token_file: Path | None = None
    """absolute path of a file whose content is sent along as a bearer token; default: none"""
    on: tuple[Kind, ...] = (
        "series_complete",
        "series_reopened",
        "series_incomplete",
        "root_unreachable",
        "file_refused",
    )
    """the kinds of events that are told of; docs/hooks.md has all that there are"""
    fields: tuple[str, ...] = ()
    """columns of `instance` to tell besides, and `path` for names of files: may be patient data"""
    deadline_s: Seconds = 30.0
    """a call that takes longer is killed, with its process group, and tried again"""
    attempts: Annotated[int, Field(ge=1, le=100_000)] = 100
    """so many calls, then an event is given up, loudly"""
    first_s: Seconds = 5.0
    """wait before the second call; doubles each time"""
    limit_s: Seconds = 3600.0
    """the longest wait"""

    @field_validator("command", "on", "fields", mode="before")
    @classmethod
    def _listed(cls, given: object) -> object:
        return json.loads(given) if isinstance(given, str) else given  # From the environment.

    @field_validator("command")
    @classmethod
    def _program(cls, command: tuple[str, ...]) -> tuple[str, ...]:
        if command and not os.path.isabs(command[0]):
            raise ValueError("the program must be an absolute path")
        return command

    @field_validator("url")
    @classmethod
    def _address(cls, url: str) -> str:
        if not url:
            return url
        if not url.startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        parts = urlsplit(url)
        if not parts.hostname or parts.port == 0 or not re.fullmatch("[!-~]+", url):
            raise ValueError("must name a host, and hold no spaces or letters beyond ASCII")
        if "@" in parts.netloc:
            raise ValueError("must hold no name and no password; token_file is for that")
        return url

    @field_validator("token_file")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return absolute(path)

    @field_validator("fields")
    @classmethod
    def _known(cls, fields: tuple[str, ...]) -> tuple[str, ...]:
        for name in set(fields) - {"path"} - {kept.keyword for kept in KEPT}:
            raise ValueError(f"{name} is no column of `instance`, nor is it path")
        return fields
