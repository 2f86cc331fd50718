"""Wiring. The commands that look after a catalog: retry, audit, backup, restore."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ingestd import profile
from ingestd.cli import ConfigOption, JsonOption, StateOption, app
from ingestd.ending import HALTED, told
from ingestd.files import default_state

__all__ = ["app"]


def done(
    name: str, asked: Mapping[str, Any], config: Path | None, state: Path | None
) -> dict[str, Any]:
    """Have the daemon do it; without one, do it here.

    raises  ConfigError, SqlError, StateError, IngestError, OSError
    """
    from ingestd import log  # noqa: PLC0415
    from ingestd.deedbar import deed_progress  # noqa: PLC0415
    from ingestd.ordering import ask_to_do  # noqa: PLC0415

    place = state or default_state()
    with deed_progress() as shown:
        if (said := ask_to_do(place, name, asked, shown.tell)) is not None:
            return said
        from ingestd.offline import Offline  # noqa: PLC0415
        from ingestd.toml import load  # noqa: PLC0415

        settings = load(config)
        log.configure(settings.log.model_copy(update={"level": "error"}), sys.stderr)
        os.umask(profile.umask(place, "full"))
        return Offline(settings, place, shown.tell).do(name, asked)


@app.command()
def retry(
    reason: Annotated[
        str, typer.Option("--reason", help="Only what has this reason; docs/reasons.md.")
    ] = "",
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try again what was refused, or has no thumbnail or volume, for a reason."""
    from ingestd.replay import as_text, checked  # noqa: PLC0415

    with told():
        said = done("retry", {"reason": checked(reason)}, config, state)
    typer.echo(json.dumps(said) if as_json else as_text(said))


@app.command()
def audit(
    sample: Annotated[
        int | None,
        typer.Option("--sample", min=0, help="Read so many files, by chance. Default: all."),
    ] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended.")] = False,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare folders, catalog and derived files, and prove or list every difference."""
    from ingestd.differences import as_text, is_proven  # noqa: PLC0415

    with told():
        said = done("audit", {"sample": sample, "repair": repair}, config, state)
    typer.echo(json.dumps(said) if as_json else as_text(said))
    raise typer.Exit(0 if is_proven(said) else HALTED)


@app.command()
def backup(
    folder: Annotated[str, typer.Argument(help="Each backup is a folder in it.", metavar="DIR")],
    keep: Annotated[
        int | None, typer.Option("--keep", min=1, help="Keep so many, delete older ones.")
    ] = None,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy the catalog, also while the daemon writes to it, to a folder of its own in DIR."""
    with told():
        asked = {"place": os.path.abspath(folder), "keep": keep}
        said = done("backup", asked, config, state)
    words = f"{said['path']}: {said['files']} files, {said['instances']} instances"
    typer.echo(json.dumps(said) if as_json else words)


@app.command()
def restore(
    folder: Annotated[Path, typer.Argument(help="A folder that backup made.", metavar="BACKUP")],
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a backup the catalog of a state folder; the daemon must not run."""
    from ingestd.restore import restore as put_back  # noqa: PLC0415

    place = state or default_state()
    with told():
        os.umask(profile.umask(place, "full"))
        said = put_back(folder, place)
    before = f"; the catalog before is in {said['before']}" if said["before"] else ""
    words = f"restored: {said['files']} files, {said['instances']} instances{before}"
    typer.echo(json.dumps(said) if as_json else words)
