"""A Debian that boots systemd: made once, kept in a cache, thrown away after each run.

Everything comes from where this machine's own apt and pip get it.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

PROJECT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ingestd-boot"
PYTHONS = {"bookworm": "3.11", "trixie": "3.13"}  #: of each Debian that we know
PACKAGES = "systemd,systemd-sysv,dbus,udev,python3,python3-venv,procps,libpam-systemd"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: What systemd-nspawn is made of, where it is not installed: unpacked beside the system.
NSPAWN = ("systemd-container", "libsystemd-shared", "libsystemd0")


class NotHere(Exception):
    """This machine cannot make or boot a container; nothing is known of the service."""


def missing() -> str:
    """Say what keeps a container from being made here; nothing does when empty."""
    if os.geteuid() != 0:
        return "needs root"
    for tool in ("apt-get", "dpkg", "nsenter"):
        if shutil.which(tool) is None:
            return f"needs {tool}"
    if not Path("/sys/fs/cgroup").is_mount() and not any(Path("/sys/fs/cgroup").iterdir()):
        return "needs cgroups"
    return ""


def tree(suite: str) -> Path:
    """Make the Debian, unless it is in the cache."""
    place = CACHE / f"{suite}-{key(PACKAGES)}"
    if not place.is_dir():
        part = place.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        command = ["--variant=minbase", f"--include={PACKAGES}", suite, str(part), mirror()]
        run(*debootstrap(), *command)
        part.rename(place)
    return place


def debootstrap() -> list[str]:
    """Give the command: the installed one, or one that is unpacked for this."""
    if shutil.which("debootstrap"):
        return ["debootstrap"]
    there = unpacked("debootstrap")
    os.environ["DEBOOTSTRAP_DIR"] = str(there / "usr/share/debootstrap")
    return [str(there / "usr/sbin/debootstrap")]


def nspawn() -> list[str]:
    """Give the command, as above."""
    if found := shutil.which("systemd-nspawn"):
        return [found]
    there = unpacked(*NSPAWN)
    libraries = f"{there}/usr/lib/x86_64-linux-gnu"
    path = f"LD_LIBRARY_PATH={libraries}/systemd:{libraries}"
    return ["env", path, f"{there}/usr/bin/systemd-nspawn"]


def unpacked(*packages: str) -> Path:
    """Fetch Debian packages and unpack them beside the system, which stays as it is."""
    place = CACHE / f"tools-{key(*packages)}"
    if not place.is_dir():
        part = place.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        run("apt-get", "update", "-qq")
        run("apt-get", "download", "-qq", *packages, cwd=part)
        for package in part.glob("*.deb"):
            run("dpkg", "-x", str(package), str(part))
        part.rename(place)
    return place


def mirror() -> str:
    """Ask apt where this machine gets its packages."""
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(ORIGIN)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=True,
    )
    return next(
        line.split()[0] for line in listed.stdout.splitlines() if line.split()[1:] == ["Debian"]
    )


def wheels(suite: str) -> Path:
    """Gather what the package needs, for the container's Python, as wheels."""
    text = (PROJECT / "constraints.txt").read_text() + (PROJECT / "pyproject.toml").read_text()
    place = CACHE / f"wheels-{key(text, PYTHONS[suite])}"
    if not place.is_dir():
        part = place.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        only = [
            "--only-binary=:all:",
            f"--python-version={PYTHONS[suite]}",
            f"--constraint={PROJECT}/constraints.txt",
        ]
        pip = [sys.executable, "-m", "pip"]
        run(*pip, "download", "-q", *only, f"--dest={part}", *needs())
        part.rename(place)
    return place


def needs() -> list[str]:
    """Name what pyproject.toml depends on."""
    import tomllib  # noqa: PLC0415

    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    return list(project["dependencies"])


def key(*texts: str) -> str:
    """Make a short name for what is kept in the cache."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]


def run(*command: str, cwd: Path | None = None) -> None:
    """Run a command of the preparations.

    raises  NotHere with its last words
    """
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        words = (done.stdout + done.stderr).strip()[-600:]
        raise NotHere(f"{Path(command[0]).name} failed: {words}")


def is_init(pid: str) -> bool:
    """Whether it is the first process of a container; nspawn has helpers that end soon."""
    with suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("NSpid:"):
                return line.split()[2:] == ["1"]
    return False


class Container:
    """A booted Debian; what is done in it is gone at the end."""

    def __init__(self, suite: str, *binds: str) -> None:
        self._log = (CACHE / "console.log").open("w")
        options = ["--register=no", "--keep-unit", "--volatile=overlay", "--private-network"]
        options += [f"--bind-ro={bind}" for bind in binds]
        self._nspawn = subprocess.Popen(
            [*nspawn(), "-D", str(tree(suite)), *options, "-b", "--console=pipe"],
            env=os.environ | {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        try:
            self._leader = self._find_leader()
            self._await_boot()
        except BaseException:
            self.close()
            raise

    @property
    def leader(self) -> str:
        """Its first process, as we see it."""
        return self._leader

    def _find_leader(self) -> str:
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children")
        until_s = time.monotonic() + 30
        while time.monotonic() < until_s and self._nspawn.poll() is None:
            for child in children.read_text().split():
                if is_init(child):
                    return child
            time.sleep(0.1)
        raise NotHere(f"systemd-nspawn did not start: {self._console()}")

    def _console(self) -> str:
        return (CACHE / "console.log").read_text(errors="replace").strip()[-600:]

    def _await_boot(self) -> None:
        until_s = time.monotonic() + 300
        while self.sh("systemctl is-system-running").stdout.strip() not in ("running", "degraded"):
            if time.monotonic() > until_s:
                raise NotHere(f"the container did not boot: {self._console()}")
            time.sleep(0.5)

    def sh(self, script: str, *, cwd: str = "/root") -> "subprocess.CompletedProcess[str]":
        """Run a shell script in the container, as root."""
        enter = ["nsenter", "-t", self._leader, "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w"]
        bare = ["env", "-i", f"PATH={PATH}", "HOME=/root", "LANG=C.UTF-8", "PIP_NO_INDEX=1"]
        more = ["PIP_FIND_LINKS=/wheels", "PIP_ROOT_USER_ACTION=ignore", "PIP_NO_CACHE_DIR=1"]
        return subprocess.run(
            [*enter, *bare, *more, "sh", "-ec", f"cd {cwd}\n{script}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def close(self) -> None:
        """Switch it off."""
        if self._nspawn.poll() is None:
            with suppress(AttributeError):
                self.sh("systemctl poweroff")
            try:
                self._nspawn.wait(30)
            except subprocess.TimeoutExpired:
                self._nspawn.kill()
                self._nspawn.wait()
        self._log.close()
        payload = Path("/sys/fs/cgroup/unified/payload")
        for folder in sorted(payload.rglob("*/"), reverse=True) if payload.is_dir() else ():
            with suppress(OSError):
                folder.rmdir()
        with suppress(OSError):
            payload.rmdir()
