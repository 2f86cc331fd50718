"""Wiring. `python -m ingestd` and the `ingestd` command."""


def main() -> None:
    """Run the command line."""
    from ingestd.cli import app  # noqa: PLC0415 -- workers import this module, not the commands

    app()


if __name__ == "__main__":
    main()
