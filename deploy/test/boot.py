"""Boots the service for real: a Debian in systemd-nspawn, installed as deploy/README.md says.

    python3 deploy/test/boot.py [--suite trixie] [--transcript FILE]

Each block of the page is run letter for letter; then the service is started, fed, reloaded, made
to hang, killed and stopped, and looked at. Ends with 0 and says why when it cannot run here.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import container
from box import CONFIG, DROP, STATE, WHOLE, Boot, Failed
from moves import keep
from starts import credential, limits, shares, starts

#: What may stand in no log: who the patient is, and where the files came from.
SECRETS = ("MARKED^PATIENT", "MARKED-FOLDER", "MARKED-ID")


def install(box: Boot) -> None:
    """Follow the page on a fresh machine."""
    box.sh(
        "mkdir ingestd && cd /checkout && cp -r config deploy constraints.txt README.md"
        " /root/ingestd/ && mkdir /root/ingestd/dist && cp /dist/*.whl /root/ingestd/dist/",
        quiet=True,
    )
    Boot._unpacked = True
    box.block("Install")
    said = box.sh("systemd-analyze verify /etc/systemd/system/ingestd.service")
    box.check("systemd-analyze verify prints nothing", holds=said == "", but=said)
    for drop_in in box.sh("ls deploy/ingestd.service.d", quiet=True).split():
        said = box.sh(
            "mkdir -p /tmp/unit/ingestd.service.d && cd /tmp/unit && rm -f ingestd.service.d/*"
            " && cp /root/ingestd/deploy/ingestd.service /root/ingestd/deploy/mounts/*.mount ."
            f" && cp /root/ingestd/deploy/ingestd.service.d/{drop_in} ingestd.service.d/"
            " && systemd-analyze verify ./ingestd.service ./*.mount",
            quiet=True,
        )
        box.check(f"nor with {drop_in}", holds=said == "", but=said)
    box.sh("systemd-analyze security --offline=true --threshold=15 ingestd.service | tail -n 1")
    box.check("the user has the number of sysusers.conf", holds=box.sh("id -u ingestd") == "611")


def start(box: Boot) -> None:
    """It is ready when systemd says so, and says in a line how it goes."""
    active, kind, restarts = box.show("ActiveState", "Type", "NRestarts")
    box.check(
        "active, by its own word", holds=(active, kind, restarts) == ("active", "notify", "0")
    )
    box.wait_for("the status line counts roots", lambda: "1 of 1 roots healthy" in status(box))
    box.say(f"  {status(box)}")


def status(box: Boot) -> str:
    """Give the status line."""
    return box.show("StatusText")[0]


def feed(box: Boot) -> None:
    """Drop files, bad ones too; all become rows."""
    box.sh(f"sed -i 's/^quiet_s = 30.0/quiet_s = 2.0/' {CONFIG} && systemctl reload ingestd")
    box.sh("/opt/ingestd/bin/python /checkout/deploy/test/feed.py /root/made")
    box.sh(f"mkdir {DROP}/MARKED-FOLDER && cp -r /root/made {DROP}/MARKED-FOLDER/one")
    box.sh(f"echo MARKED-ID > {DROP}/MARKED-FOLDER/no-image.dcm")
    files = int(box.sh(f"find {DROP} -type f ! -name '.*' | wc -l", quiet=True))
    box.wait_for(
        f"all {files} files have a row", lambda: box.one("SELECT count(*) FROM file") == str(files)
    )
    box.check(
        "the one that is no image is refused",
        holds=box.one("SELECT count(*) FROM refused WHERE path LIKE '%no-image.dcm'") == "1",
    )


def sees_read_only(box: Boot) -> None:
    """The drop folder is read-only for the service, and so is the system."""
    (pid,) = box.show("MainPID")
    for place in (DROP, "/etc", "/usr", "/home"):
        tried = box.sh(
            f"nsenter -t {pid} -m setpriv --reuid ingestd --regid ingestd --clear-groups"
            f" touch {place}/probe",
            may_fail=True,
        )
        box.check(
            f"the service cannot write to {place}",
            holds="Read-only" in tried or "denied" in tried,
            but=tried,
        )


def asks(box: Boot) -> None:
    """Who is in the group may ask, and who is not may not; nobody else sees the config."""
    box.sh("useradd jane && usermod -aG ingestd jane && useradd eve")
    asked = f"-- ingestd sql 'SELECT count(*) > 0 AS found FROM file' --state {STATE} --format csv"
    said = box.sh(f"runuser -u jane {asked}")
    box.check("jane is answered", holds="true" in said, but=said)
    said = box.sh(f"runuser -u jane -- ingestd retry --state {STATE}", may_fail=True)
    box.check("but may have nothing done", holds="may have things done" in said, but=said)
    said = box.sh(f"runuser -u eve {asked}", may_fail=True)
    box.check("eve is not", holds="true" not in said and "ermission denied" in said, but=said)
    said = box.sh(f"runuser -u eve -- cat {CONFIG} {STATE}/catalog.duckdb", may_fail=True)
    box.check("nor may she read", holds=said.count("Permission denied") == 2, but=said)


def reload(box: Boot) -> None:
    """Roots come while it runs; a bad config is refused and the old one kept."""
    (pid,) = box.show("MainPID")
    box.sh(f"cp -p {CONFIG} /root/good.toml")
    box.sh("install -d -m 2770 -g ingestd /srv/dicom/second")
    box.sh(
        f"cp -r /root/made /srv/dicom/second/two && cat >> {CONFIG} <<'T'\n[[root]]\n"
        'path = "/srv/dicom/second"\nname = "second"\nT'
    )
    box.block("Change the config")
    box.wait_for("two roots are watched", lambda: "2 of 2 roots healthy" in status(box))
    box.wait_for(
        "files of the new root have rows",
        lambda: box.one("SELECT count(*) > 0 FROM file WHERE root = '/srv/dicom/second'") == "true",
    )
    box.sh(f"printf 'wathc = 1\\n' >> {CONFIG}")
    refused = box.sh("systemctl reload ingestd", may_fail=True)
    box.check("reload of a bad config fails", holds="failed" in refused.lower(), but=refused)
    box.wait_for("the words are in the journal", lambda: box.said("did you mean watch?"))
    box.sh("systemctl kill -s HUP --kill-who=main ingestd")
    box.wait_for("HUP with it is refused too", lambda: "new config refused" in status(box))
    box.check("the old config holds", holds="2 of 2 roots healthy" in status(box), but=status(box))
    box.sh(
        "head -n -1 /etc/ingestd/ingestd.toml > /root/two.toml && "
        f"cat /root/two.toml > {CONFIG} && systemctl reload ingestd"
    )
    box.wait_for("with a good one the refusal is over", lambda: "refused, the" not in status(box))
    box.check("it is the same process", holds=box.show("MainPID", "NRestarts") == [pid, "0"])


def hang(box: Boot) -> None:
    """A daemon that hangs is found by the watchdog and started again."""
    box.sh(
        "mkdir -p /etc/systemd/system/ingestd.service.d && printf '[Service]\\nWatchdogSec=10\\n'"
        " > /etc/systemd/system/ingestd.service.d/test.conf && systemctl daemon-reload"
        " && systemctl restart ingestd"
    )
    (pid,) = box.show("MainPID")
    box.sh("systemctl kill -s STOP --kill-who=main ingestd")
    box.wait_for(
        "the watchdog ended it, and it runs again",
        lambda: box.show("NRestarts", "ActiveState") == ["1", "active"],
        within_s=90,
    )
    box.check("it is another process", holds=box.show("MainPID") != [pid])
    box.check("the journal says why", holds=box.said("Watchdog timeout"))


def kill(box: Boot) -> None:
    """Killed in the midst of work, it takes up what was left."""
    box.sh(f"cp -r /root/made {DROP}/MARKED-FOLDER/three")
    time.sleep(2.5)  # Some of it is under way then; any moment will do.
    box.sh("systemctl kill -s KILL ingestd")
    box.wait_for("it runs again", lambda: box.show("NRestarts", "ActiveState") == ["2", "active"])


def whole(box: Boot) -> None:
    """After all of it the catalog is that of an undisturbed scan of the same folders."""
    files = int(box.sh(f"find {DROP} /srv/dicom/second -type f ! -name '.*' | wc -l", quiet=True))
    box.wait_for("each file has a row", lambda: box.one(WHOLE["files"]) == str(files))
    done = "SELECT count(*) FROM series_state WHERE state IN ('receiving', 'quiet')"
    box.wait_for("each series is judged", lambda: box.one(done) == "0", within_s=180)
    box.sh(f"ingestd scan {DROP} /srv/dicom/second --state /root/oracle")
    for what, query in WHOLE.items():
        found = box.one(query)
        oracle = f'ingestd sql --state /root/oracle --format csv "{query}" | tail -n 1'
        expected = box.sh(oracle, quiet=True).strip('"')
        box.check(f"{what} as in a scan: {found}", holds=found == expected, but=expected)


def stop(box: Boot) -> None:
    """It stops within its limit, and says so."""
    since_s = time.monotonic()
    box.sh("systemctl stop ingestd")
    took_s = time.monotonic() - since_s
    result, state = box.show("Result", "ActiveState")
    box.check(
        f"stopped within its limit of 30 s: {took_s:.1f} s",
        holds=took_s < 30 and (result, state) == ("success", "inactive"),
        but=(result, state),
    )
    box.check("the journal has its last word", holds=box.said("stopped files="))


def traces(box: Boot) -> None:
    """What is left behind is for its group only, and names nobody."""
    odd = box.sh(
        f"find {STATE} \\( -type f ! -perm 0640 -o -type d ! -perm 0750 -o ! -user ingestd"
        " -o ! -group ingestd \\) -printf '%M %u %g %p\\n'"
    )
    box.check("files 0640, folders 0750, all of the user ingestd", holds=odd == "", but=odd)
    lines = box.journal()
    ours = [line for line in lines if line.get("_COMM") != "systemd"]
    box.check(
        "no priority is left in the text",
        holds=not any(re.match(r"<\d>", str(line["MESSAGE"])) for line in ours),
    )
    bad = [line for line in ours if "reload_refused" in str(line["MESSAGE"])]
    box.check("an error is an error to the journal", holds=bad[0]["PRIORITY"] == "3", but=bad)
    found = [word for word in SECRETS if any(word in str(line["MESSAGE"]) for line in lines)]
    box.check(f"no patient in {len(lines)} lines of the journal", holds=not found, but=found)
    box.sh("journalctl -u ingestd --no-pager -o short-monotonic | grep -v ' refused \\| series_'")


STEPS = (
    install,
    start,
    feed,
    sees_read_only,
    asks,
    reload,
    credential,
    hang,
    kill,
    whole,
    stop,
    traces,
    starts,
    shares,
    limits,
    keep,
)

#: What makes a newer program of this one: another layout of the catalog.
MIGRATION = "CREATE TABLE of_a_newer_program (number INTEGER);\n"


def make_wheels(place: Path) -> None:
    """Build the package as it is, and, in `newer`, as it may be one day."""
    make_wheel(container.PROJECT, place)
    (place / "newer").mkdir()
    with tempfile.TemporaryDirectory() as copied:
        copy = Path(copied)
        for name in ("ingestd", "pyproject.toml", "README.md", "LICENSE"):
            subprocess.run(["cp", "-r", container.PROJECT / name, copy], check=True)
        package = copy / "ingestd"
        text = (package / "__init__.py").read_text()
        version = re.sub('__version__ = ".*"', '__version__ = "99.0.0"', text)
        (package / "__init__.py").write_text(version)
        migrations = package / "sql" / "migrations"
        number = len(list(migrations.glob("*.sql"))) + 1
        (migrations / f"{number:04d}_newer.sql").write_text(MIGRATION)
        make_wheel(copy, place / "newer")


def make_wheel(project: Path, place: Path) -> None:
    """Build a package."""
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", f"--wheel-dir={place}"]
    subprocess.run([*pip, str(project)], check=True)


def main() -> int:
    """Run all steps."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--suite", choices=container.PYTHONS, default="bookworm")
    parser.add_argument("--transcript", default="/dev/null")
    chosen = parser.parse_args()
    try:
        return boot(chosen.suite, Path(chosen.transcript))
    except container.NotHere as why:
        print(f"deploy/test/boot.py: NOT RUN, nothing is shown of the service: {why}")
        return 0


def boot(suite: str, transcript: Path) -> int:
    """Make all ready, boot, and run all steps.

    raises  NotHere when this machine cannot
    """
    if why := container.missing():
        raise container.NotHere(f"it {why}")
    container.tree(suite), container.wheels(suite)  # These take long the first time.
    with tempfile.TemporaryDirectory() as built, transcript.open("w") as out:
        make_wheels(Path(built))
        with Boot(out, suite, Path(built)) as box:
            try:
                for step in STEPS:
                    box.say(f"=== {step.__name__}: {step.__doc__}")
                    step(box)
            except Failed as failed:
                box.say(str(failed))
                box.sh("journalctl -u ingestd --no-pager | tail -n 60", may_fail=True)
                return 1
        print("the service does what it should")
    return 0


if __name__ == "__main__":
    sys.exit(main())
