"""Starts that cannot work, and what the service is given when one does."""

import os
from pathlib import Path

from box import CONFIG, DROP, STATE, Boot

TOKEN = "/etc/ingestd/sql-token"
GIVEN = "/run/credentials/ingestd.service"
MEMORY = Path("/sys/fs/cgroup/memory")  #: of this machine; nspawn passes no controller on


def credential(box: Boot) -> None:
    """The token is shown to the daemon, and who does not show it is not answered."""
    box.block("SQL over HTTP")
    for shown, expected in (("nothing", 401), ("another", 401), ("the token", 200)):
        code = asked(box, "open(TOKEN).read().strip()" if shown == "the token" else f"{shown!r}")
        box.check(f"with {shown}: {expected}", holds=code == expected, but=code)
    modes = box.sh(f"stat -c '%a %U %n' {TOKEN} {GIVEN} {GIVEN}/*; getfacl -c {GIVEN}/* || true")
    box.check("the file is root's alone", holds=f"600 root {TOKEN}" in modes, but=modes)
    for user in ("jane", "eve", "ingestd"):
        said = box.sh(f"runuser -u {user} -- cat {TOKEN} {GIVEN}/ingestd-token", may_fail=True)
        denied = 1 if user == "ingestd" else 2  # It may read what it was given.
        box.check(f"{user} is denied", holds=said.count("Permission denied") == denied)
    token = box.sh(f"cat {TOKEN}", quiet=True)
    leaks = any(token in str(line["MESSAGE"]) for line in box.journal())
    box.check("it stands in no line of the journal", holds=not leaks)


def asked(box: Boot, token: str) -> int:
    """Ask over HTTP; give the status."""
    script = (
        f"from http.client import HTTPConnection as C; TOKEN = '{TOKEN}'; c = C('127.0.0.1', 8042);"
        " c.request('POST', '/sql', 'SELECT count(*) FROM file',"
        f" {{'Authorization': 'Bearer ' + {token}}}); print(c.getresponse().status)"
    )
    return int(box.sh(f'python3 -c "{script}"'))


def starts(box: Boot) -> None:
    """A start that only a person can mend is made once; one that lacks room goes on by itself."""
    catalog = f"{STATE}/catalog.duckdb"
    box.sh(f"systemctl stop ingestd; cp -p {CONFIG} /root/good.toml; cp -p {catalog} /root/catalog")
    fails(box, f"echo 'wathc = 1' >> {CONFIG}", "2", "did you mean watch?")
    box.sh(f"cat /root/good.toml > {CONFIG}")
    fails(box, f"truncate -s 50000 {catalog}", "65", "`ingestd restore` puts a backup")
    box.sh(f"cp -p /root/catalog {catalog}")
    fails(box, f"mv {TOKEN} {TOKEN}.away", "243", "")
    box.sh(f"mv {TOKEN}.away {TOKEN}; systemctl reset-failed ingestd; systemctl start ingestd")
    box.check("mended, it starts", holds=box.show("ActiveState") == ["active"])
    no_room(box)


def fails(box: Boot, harm: str, code: str, words: str) -> None:
    """See that a start fails with this code, tells why as an error, and is made once."""
    before = len(box.journal())
    box.sh(
        f"{harm}; systemctl reset-failed ingestd || true; systemctl start ingestd", may_fail=True
    )
    told = box.show("ActiveState", "SubState", "ExecMainStatus", "NRestarts")
    box.check(
        f"it failed with {code}, once", holds=told == ["failed", "failed", code, "0"], but=told
    )
    lines = [line for line in box.journal()[before:] if words in str(line["MESSAGE"])]
    box.check(
        "the journal has why, as an error", holds=lines[-1]["PRIORITY"] <= "4", but=lines[-1:]
    )


def no_room(box: Boot) -> None:
    """The disk of the state folder is full at a start, for longer than ten starts would last."""
    box.sh(
        f"systemctl stop ingestd; mv {STATE} /root/state; mkdir {STATE}"
        f" && mount -t tmpfs -o size=256m,mode=0750,uid=611,gid=611 tmpfs {STATE}"
        f" && cp -a /root/state/. {STATE}/ && rm -f {STATE}/*.lock {STATE}/snapshot.duckdb"
        f" && (cat /dev/zero > {STATE}/ballast || true); df -h {STATE}"
    )
    box.sh("systemctl start --no-block ingestd")
    box.wait_for("the status line says so", lambda: "HALTED" in box.show("StatusText")[0])
    box.say(f"  {box.show('StatusText')[0]}")
    box.wait_for("it was tried again, slowly", lambda: box.show("NRestarts") == ["1"], within_s=120)
    box.sh(f"rm {STATE}/ballast")
    box.wait_for(
        "with room it starts by itself", lambda: box.show("ActiveState") == ["active"], within_s=120
    )
    box.sh(
        f"systemctl stop ingestd && umount {STATE} && rmdir {STATE} && mv /root/state {STATE}"
        " && systemctl start ingestd"
    )


def shares(box: Boot) -> None:
    """What nfs.conf says of a share that is away: here, where no kernel knows NFS, it always is."""
    drop_in = "/etc/systemd/system/ingestd.service.d/nfs.conf"
    box.sh(
        "cp deploy/mounts/srv-dicom-scanner.mount /etc/systemd/system/"
        f" && cp deploy/ingestd.service.d/nfs.conf {drop_in}"
        " && systemctl daemon-reload && systemctl reset-failed ingestd"
    )
    said = box.sh("systemctl restart ingestd", may_fail=True)
    box.check("required, it keeps the daemon down", holds="dependency" in said, but=said)
    box.sh(
        f"sed -i 's/^RequiresMountsFor/#&/; s/^#\\(Wants\\|After\\)/\\1/' {drop_in}"
        f" && cat {drop_in} && systemctl daemon-reload && systemctl restart ingestd"
    )
    box.check("wanted, it does not", holds=box.show("ActiveState") == ["active"])
    box.sh(f"rm {drop_in} /etc/systemd/system/srv-dicom-scanner.mount && systemctl daemon-reload")


def limits(box: Boot) -> None:
    """With limits.conf and low-priority.conf it gives way; under little memory all comes in."""
    box.sh(
        "cp deploy/ingestd.service.d/limits.conf deploy/ingestd.service.d/low-priority.conf"
        " /etc/systemd/system/ingestd.service.d/ && systemctl daemon-reload"
        " && systemctl reset-failed ingestd && systemctl restart ingestd"
    )
    (pid, most) = box.show("MainPID", "MemoryMax")
    said = box.sh(f"ps -o ni= -p {pid}; ionice -p {pid}")
    box.check("it gives way to others", holds=said.split() == ["10", "idle"], but=said)
    box.check("systemd knows the limit", holds=most == str(16 << 30), but=most)
    little(box)


def little(box: Boot) -> None:
    """Lend the container this machine's memory controller, since nspawn passes none on."""
    if not (MEMORY / "cgroup.procs").exists():
        box.say("NOT TRIED: this machine has no memory controller to lend")
        return
    text = (Path(__file__).parents[1] / "ingestd.service.d" / "limits.conf").read_text()
    (small,) = [line for line in text.splitlines() if line.startswith("# MemoryMax=")]
    group = MEMORY / f"ingestd-boot-{os.getpid()}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(small.split("=")[1].split()[0])
        (group / "cgroup.procs").write_text(box.leader)  # What it starts from now on is in it.
        box.sh("systemctl reset-failed ingestd; systemctl restart ingestd")
        box.sh(f"mkdir {DROP}/limited && cp -r /root/made {DROP}/limited/four")
        files = box.sh("find /root/made -type f ! -name '.*' | wc -l", quiet=True)
        counted = "SELECT count(*) FROM file WHERE path LIKE 'limited/%'"
        box.wait_for(f"{files} files have a row", lambda: box.one(counted) == files)
        peak = int((group / "memory.max_usage_in_bytes").read_text())
        control = (group / "memory.oom_control").read_text().split()
        box.say(f"  at most {peak / (1 << 20):.0f} MiB, with what it wrote; {' '.join(control)}")
        killed = dict(zip(control[::2], control[1::2], strict=True)).get("oom_kill", "0")
        box.check("nobody was killed", holds=killed == "0", but=killed)
        deaths = box.sh(f"ingestd status --json --state {STATE}", quiet=True)
        box.check("no worker was lost", holds='"worker_deaths": 0' in deaths, but=deaths)
        box.sh(f"rm -r {DROP}/limited")
    finally:
        (MEMORY / "cgroup.procs").write_text(box.leader)
        for pid in (group / "cgroup.procs").read_text().split():
            (MEMORY / "cgroup.procs").write_text(pid)
        group.rmdir()
