"""Wiring. The commands. What a command needs is imported when it runs: `sql` must be quick."""

import gc
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ingestd import __version__, preload, profile
from ingestd.ending import HALTED, told
from ingestd.errors import ConfigError, SqlError
from ingestd.files import default_state, publish
from ingestd.given import given
from ingestd.owner import apart, stores_apart

if TYPE_CHECKING:
    from ingestd.config import Config

app = typer.Typer(
    name="ingestd",
    help="Watches drop folders for DICOM: every tag becomes SQL, every image a thumbnail, every"
    " series a volume or the reason why not.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state",
        envvar="INGESTD_STATE",
        help="State folder: catalog, thumbnails, volumes. Default: $XDG_STATE_HOME/ingestd.",
    ),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", envvar="INGESTD_CONFIG", help="Config file (TOML)."),
]
WindowOption = Annotated[
    str | None, typer.Option("--window", help="lung, bone, soft, brain or CENTER/WIDTH.")
]
FolderOption = Annotated[Path | None, typer.Option(help="To this folder, which is new.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def version(wanted: bool) -> None:
    """Print the version and end."""
    if wanted:
        typer.echo(f"ingestd {__version__}")
        raise typer.Exit


@app.callback()
def main(
    _: Annotated[
        bool, typer.Option("--version", callback=version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """See the list of commands below."""


@app.command()
def run(
    # Text, not Path: click looks at a path itself, and that may hang.
    root: Annotated[
        list[str] | None, typer.Option("--root", help="A drop folder to watch; may be repeated.")
    ] = None,
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Watch drop folders, in the foreground, until SIGTERM or Ctrl-C."""
    with told(is_service=True):
        if config and config.is_fifo():
            raise ConfigError(f"{config}: is a pipe; name a file, which SIGHUP can read again")
        preload.begin(given(config, [Path(one) for one in root or []]))
    from ingestd import log  # noqa: PLC0415
    from ingestd.service import Daemon  # noqa: PLC0415
    from ingestd.toml import load  # noqa: PLC0415

    gc.enable()
    place = state or default_state()

    def read() -> "Config":
        settings = load(config, [Path(one) for one in root or []])
        if not settings.root:
            raise ConfigError("no drop folder; name one with --root or in a [[root]] of the config")
        apart(place, [root.path for root in settings.root])
        stores_apart(settings, place)
        return settings

    with told(is_service=True):
        settings = read()
        log.configure(settings.log, sys.stderr)
        log.speak_for_all()
        os.umask(profile.umask(place, settings.sql.profile))
        raise typer.Exit(Daemon(settings, place, reread=read).run())


@app.command()
def scan(
    # Text, not Path: click looks at a path itself, and that may hang.
    paths: Annotated[list[str], typer.Argument(help="Folders to ingest.", metavar="PATH...")],
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ingest folders now, all the way to volumes, and end."""
    with told():
        preload.begin(tables := given(config))
    from ingestd import log  # noqa: PLC0415
    from ingestd.progress import progress  # noqa: PLC0415
    from ingestd.scan import Scan, as_roots, folders  # noqa: PLC0415
    from ingestd.toml import checked  # noqa: PLC0415

    gc.enable()
    with told():
        settings = checked(tables, config)
        log.configure(settings.log.model_copy(update={"level": "error"}), sys.stderr)
        with progress() as shown:
            chosen = folders(paths)
            place = apart(state or default_state(), chosen)
            settings = as_roots(chosen, settings)
            stores_apart(settings, place)
            os.umask(profile.umask(place, "full"))
            work = Scan(settings, place, shown)
            summary = work.run()
    from ingestd.leftovers import leftovers  # noqa: PLC0415
    from ingestd.report import scanned  # noqa: PLC0415

    typer.echo(json.dumps(summary) if as_json else scanned(summary))
    left = leftovers(work, summary)
    for line in left:
        typer.echo(f"ingestd: {line}", err=True)
    raise typer.Exit(HALTED if left else 0)


# Its options are in `sqlcommand`, where `__main__` goes without typer.
@app.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
def sql(given: Annotated[list[str], typer.Argument(metavar="QUERY")]) -> None:
    """Ask the catalog, while the daemon runs or without one."""
    from ingestd.sqlcommand import main  # noqa: PLC0415

    main(given)


@app.command()
def status(state: StateOption = None, as_json: JsonOption = False) -> None:
    """Say how the daemon is: roots, queue, series, problems."""
    from ingestd.client import Client  # noqa: PLC0415
    from ingestd.report import catalog_status, status_text  # noqa: PLC0415

    with told():
        client = Client(state or default_state())
        found: dict[str, Any] = {"daemon": client.status(), "catalog": None, "error": None}
        try:
            found["catalog"] = catalog_status(client)
        except SqlError as error:  # A daemon that halts still says so.
            found["error"] = str(error)
    typer.echo(json.dumps(found, default=str) if as_json else status_text(found))


@app.command()
def show(
    what: Annotated[str, typer.Argument(help="A UID, or the path of a file.", metavar="UID|PATH")],
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show all elements of an instance, or a summary of a series or study."""
    from ingestd.client import Client  # noqa: PLC0415
    from ingestd.report import shown, shown_text  # noqa: PLC0415

    with told():
        found = shown(Client(state or default_state()), what)
    typer.echo(json.dumps(found, default=str) if as_json else shown_text(found))


# Its options are in `ondemand`, where `__main__` goes without typer.
@app.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
def volume(given: Annotated[list[str], typer.Argument(metavar="SERIESUID")]) -> None:
    """Write the volume of a series to a file, with a JSON beside it."""
    from ingestd.ondemand import main  # noqa: PLC0415

    main(given)


@app.command()
def thumbnail(
    uid: Annotated[str, typer.Argument(help="SOPInstanceUID.", metavar="UID")],
    output: Annotated[Path, typer.Option("-o", help="Write to this .jpg, .png or .webp.")],
    *,
    window: WindowOption = None,
    edge: Annotated[int, typer.Option("--edge", min=16, max=4096, help="Longest edge.")] = 512,
    frame: Annotated[int | None, typer.Option("--frame", help="From 0. Default: middle.")] = None,
    state: StateOption = None,
) -> None:
    """Make a picture of an instance from its file, in any window."""
    from ingestd import pictures  # noqa: PLC0415
    from ingestd.client import Client  # noqa: PLC0415

    with told():
        options = pictures.options_for(output, edge)
        if window is not None:
            pictures.as_window(window)
        client = Client(state or default_state())
        made = pictures.instance(client, uid, options, window=window, frame=frame)
        publish(output, made.content)


@app.command("contact-sheet")
def contact_sheet(
    uid: Annotated[str, typer.Argument(help="SeriesInstanceUID.", metavar="UID")],
    output: Annotated[Path, typer.Option("-o", help="Write to this .jpg.")],
    *,
    window: WindowOption = None,
    edge: Annotated[int, typer.Option("--edge", min=16, max=1024, help="Of each picture.")] = 160,
    most: Annotated[int, typer.Option("--most", min=1, max=400, help="Pictures at most.")] = 64,
    state: StateOption = None,
) -> None:
    """Show a series on one sheet, in the order of its slices."""
    from ingestd import pictures  # noqa: PLC0415
    from ingestd.client import Client  # noqa: PLC0415

    with told():
        if pictures.options_for(output, edge).format != "jpeg":
            raise ConfigError(f"-o {output}: a contact sheet is a .jpg")
        if window is not None:
            pictures.as_window(window)
        client = Client(state or default_state())
        content = pictures.series(client, uid, most=most, edge_px=edge, window=window)
        publish(output, content)


@app.command()
def export(
    parquet: FolderOption = None,
    csv: FolderOption = None,
    state: StateOption = None,
) -> None:
    """Write the whole catalog to a folder, while the daemon runs or without one."""
    from ingestd.client import Client  # noqa: PLC0415
    from ingestd.export import export  # noqa: PLC0415

    with told():
        if not (target := parquet or csv) or (parquet and csv):
            raise ConfigError("name one folder: --parquet DIR or --csv DIR")
        rows = export(Client(state or default_state()), target, "parquet" if parquet else "csv")
    for table, count in rows.items():
        typer.echo(f"{count:>12} {table}")


@app.command()
def check(
    config: ConfigOption = None,
    root: Annotated[list[Path] | None, typer.Option("--root", help="As for `run`.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print only what is wrong.")] = False,
) -> None:
    """Check the config, and print it in full with every default."""
    from ingestd.toml import as_toml, load  # noqa: PLC0415

    with told():
        settings = load(config, root)
    if not quiet:
        typer.echo(as_toml(settings), nl=False)
    for folder in settings.root:
        if not folder.path.is_dir():
            typer.echo(f"ingestd: {folder.path}: is not there yet; it will be watched", err=True)
        elif folder.empties and not os.access(folder.path, os.W_OK | os.X_OK):
            typer.echo(f"ingestd: {folder.path}: cannot be written; its files will stay", err=True)


@app.command()
def doctor(
    config: ConfigOption = None,
    root: Annotated[list[str] | None, typer.Option("--root", help="As for `run`.")] = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at the machine: how each drop folder is watched and why, limits, permissions."""
    from ingestd import doctor  # noqa: PLC0415
    from ingestd.toml import load  # noqa: PLC0415

    with told():
        settings = load(config, [Path(one) for one in root or []])
        found = doctor.diagnose(settings, state or default_state())
    typer.echo(json.dumps(doctor.as_json(found)) if as_json else doctor.as_text(found))
    raise typer.Exit(HALTED if any(finding.state == "bad" for finding in found) else 0)


@app.command()
def demo(
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Where to work. Default: a new folder in /tmp.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the daemon up at the end.")] = False,
) -> None:
    """Fill a drop folder while the daemon runs, and show what it does."""
    from ingestd.demo import demonstrate  # noqa: PLC0415

    with told():
        raise typer.Exit(demonstrate(folder, keep=keep))
