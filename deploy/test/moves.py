"""What deploy/README.md says of keeping a catalog: each chapter, letter for letter."""

from box import STATE, Boot

BACKUPS = "/var/backups/ingestd"


def keep(box: Boot) -> None:
    """Back up, upgrade, roll back, restore and move, as the page says; no row is lost."""
    box.sh("systemctl reset-failed ingestd; systemctl start ingestd")
    expected = box.catalog()
    steps = {
        "Back up": back_up,
        "Upgrade": upgrade,
        "Roll back": roll_back,
        "Restore": restore,
        "Move to another machine": move,
    }
    for title, step in steps.items():
        step(box, title)
        box.wait_for("it runs", lambda: box.show("ActiveState") == ["active"])
        found = box.catalog()
        box.check("the catalog is what it was", holds=found == expected, but=(found, expected))
    box.block("Remove")
    box.check("the state stays", holds=box.sh(f"ls {STATE}/catalog.duckdb") != "")


def back_up(box: Boot, title: str) -> None:
    """As every night: twice."""
    box.block(title)
    box.block(title, first=1)
    odd = box.sh(f"find {BACKUPS} -perm /027 -o ! -user ingestd")
    box.check("backups are for the service and its group", holds=odd == "", but=odd)
    config = box.sh("find /var/backups/ingestd-config -type f | sort")
    box.check("the config lies there once", holds=config.count("ingestd.toml") == 1, but=config)


def upgrade(box: Boot, title: str) -> None:
    """To a program that wants another layout of the catalog."""
    box.sh("rm dist/*.whl && cp /dist/newer/*.whl dist/")
    box.block(title)
    box.check("the copy was told of", holds=box.said("catalog_copied"))
    box.check("the newer program runs", holds="99.0.0" in box.sh("ingestd --version"))
    modes = box.sh(f"stat -c '%a %U' {STATE}/catalog.duckdb.migration-*")
    box.check("the copy is 0640, of ingestd", holds=modes == "640 ingestd", but=modes)


def roll_back(box: Boot, title: str) -> None:
    """Back to the program of before, which refuses the catalog until its copy is back."""
    box.sh("rm dist/*.whl && cp /dist/*.whl dist/")
    box.block(title, last=1)
    told = box.show("ActiveState", "ExecMainStatus", "NRestarts")
    box.check("it is refused, once", holds=told == ["failed", "65", "0"], but=told)
    box.check("with words", holds=box.said("Install the newer ingestd that made it"))
    box.block(title, first=1)


def restore(box: Boot, title: str) -> None:
    """After the catalog was lost."""
    box.sh(f"systemctl stop ingestd && rm {STATE}/catalog.duckdb")
    box.block(title)


def move(box: Boot, title: str) -> None:
    """To a machine that never had it: nothing of it is left on this one."""
    box.block(title, last=1)
    mode = box.sh("stat -c %a /var/backups/ingestd-moved.tar")
    box.check("nobody else can read what is moved", holds=mode == "600", but=mode)
    box.block("Remove")
    box.sh(f"rm -rf {STATE} /etc/ingestd && userdel ingestd")
    box.block("Install", last=1)
    box.block(title, first=1)
