"""Wiring. The commands. What a command needs is imported when it runs: `sql` must be quick."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from ingestd import __version__
from ingestd.errors import ConfigError, IngestError, SqlError, StateError
from ingestd.files import default_state

HALTED, USAGE = 1, 2

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
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@contextmanager
def told() -> Iterator[None]:
    """Turn what a person can mend into one message and an exit code."""
    try:
        yield
    except ConfigError as error:
        typer.echo(f"ingestd: {error}", err=True)
        raise typer.Exit(USAGE) from None
    except (StateError, SqlError, IngestError) as error:
        typer.echo(f"ingestd: {error}", err=True)
        raise typer.Exit(HALTED) from None


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
    root: Annotated[
        list[Path] | None, typer.Option("--root", help="A drop folder to watch; may be repeated.")
    ] = None,
    config: ConfigOption = None,
    state: StateOption = None,
) -> None:
    """Watch drop folders, in the foreground, until SIGTERM or Ctrl-C."""
    from ingestd import log  # noqa: PLC0415
    from ingestd.config import load  # noqa: PLC0415
    from ingestd.service import Daemon  # noqa: PLC0415

    with told():
        settings = load(config, root)
        if not settings.root:
            raise ConfigError("no drop folder; name one with --root or in a [[root]] of the config")
        log.configure(settings.log, sys.stderr)
        raise typer.Exit(Daemon(settings, state or default_state()).run())


@app.command()
def scan(
    paths: Annotated[list[Path], typer.Argument(help="Folders to ingest.", metavar="PATH...")],
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ingest folders now, all the way to volumes, and end."""
    from ingestd import log  # noqa: PLC0415
    from ingestd.config import load  # noqa: PLC0415
    from ingestd.progress import progress  # noqa: PLC0415
    from ingestd.report import scanned  # noqa: PLC0415
    from ingestd.scan import Scan, folders  # noqa: PLC0415

    with told():
        settings = load(config)
        log.configure(settings.log.model_copy(update={"level": "error"}), sys.stderr)
        with progress() as shown:
            work = Scan(folders(paths), settings, state or default_state(), shown)
            summary = work.run()
    typer.echo(json.dumps(summary) if as_json else scanned(summary))
    for path, why in work.unlisted:
        typer.echo(f"ingestd: {path}: could not be listed: {why}", err=True)
    if work.interrupted:
        why = "a fault; see above" if work.failure else "a signal"
        typer.echo(f"ingestd: stopped early by {why}; scan again to go on", err=True)
    raise typer.Exit(HALTED if work.interrupted or work.unlisted else 0)


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="One question in SQL; - reads standard input.")],
    state: StateOption = None,
    as_format: Annotated[
        str, typer.Option("--format", help="table, csv, json or parquet.")
    ] = "table",
    output: Annotated[Path | None, typer.Option("-o", help="Write to this file.")] = None,
) -> None:
    """Ask the catalog, while the daemon runs or without one."""
    from ingestd.client import Client  # noqa: PLC0415
    from ingestd.report import FORMATS, write  # noqa: PLC0415

    with told():
        if as_format not in FORMATS:
            raise ConfigError(f"--format {as_format}: known are {', '.join(FORMATS)}")
        if as_format == "parquet" and output is None:
            raise ConfigError("--format parquet needs a file: -o FILE")
        text = sys.stdin.read() if query == "-" else query
        write(Client(state or default_state()).sql(text), as_format, output)


@app.command()
def status(state: StateOption = None, as_json: JsonOption = False) -> None:
    """Say how the daemon is: roots, queue, series, problems."""
    from ingestd.client import Client  # noqa: PLC0415
    from ingestd.report import catalog_status, status_text  # noqa: PLC0415

    with told():
        client = Client(state or default_state())
        found: dict[str, Any] = {"daemon": client.status(), "catalog": catalog_status(client)}
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


@app.command()
def check(
    config: ConfigOption = None,
    root: Annotated[list[Path] | None, typer.Option("--root", help="As for `run`.")] = None,
) -> None:
    """Check the config, and print it in full with every default."""
    from ingestd.config import as_toml, load  # noqa: PLC0415

    with told():
        settings = load(config, root)
    typer.echo(as_toml(settings), nl=False)
    for folder in settings.root:
        if not folder.path.is_dir():
            typer.echo(f"ingestd: {folder.path}: is not there yet; it will be watched", err=True)


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
