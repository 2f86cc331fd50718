"""Wiring. `python -m ingestd` and the `ingestd` command."""

import atexit
import gc
import os
import sys


def main() -> None:
    """Run the command line."""
    atexit.register(hush)
    # For matrices of 4 x 4 nobody needs threads; they take longer to start than to use.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # It looks through all that is installed for plugins.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "true")
    # DuckDB's allocator would keep the addresses of all that it lets go. They would count as taken
    # where the memory of questions is bounded, and could be filled again beyond the bound.
    os.environ.setdefault("DUCKDB_JE_MALLOC_CONF", "retain:false")
    if sys.argv[1:2] == ["volume"]:
        from ingestd import ondemand  # noqa: PLC0415 -- without the other commands' imports

        ondemand.main(sys.argv[2:])
    if sys.argv[1:2] == ["sql"]:
        from ingestd import sqlcommand  # noqa: PLC0415 -- as above

        sqlcommand.main(sys.argv[2:])
    if sys.argv[1:2] in (["scan"], ["doctor"], ["audit"], ["retry"]):
        from ingestd.front import behind  # noqa: PLC0415

        sys.exit(behind(commands))
    commands()


def commands() -> None:
    """Do what the arguments say."""
    if sys.argv[1:2] in (["scan"], ["run"]):
        from ingestd import preload  # noqa: PLC0415

        preload.early(sys.argv[2:])
        gc.disable()  # Until all is imported: that makes much, and no garbage.
    from ingestd.care import app  # noqa: PLC0415 -- workers import this module, not the commands

    app()


def hush() -> None:
    """Write no more: when Python has ended, DuckDB's binding tells at length what it holds."""
    sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


if __name__ == "__main__":
    main()
