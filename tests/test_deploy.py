"""What lies in deploy/ is what systemd takes, and agrees with itself."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ingestd import ending

DEPLOY = Path(__file__).parents[1] / "deploy"
DROP_INS = sorted((DEPLOY / "ingestd.service.d").glob("*.conf"))
MOUNTS = sorted((DEPLOY / "mounts").glob("*.mount"))
EXPOSURE = 15  #: ten times what `systemd-analyze security` may say at most


@pytest.fixture
def analyze() -> str:
    """systemd-analyze, where there is one."""
    found = shutil.which("systemd-analyze")
    if found is None:
        pytest.skip("systemd-analyze is not here")
    return found


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with a program that is there."""
    text = (DEPLOY / "ingestd.service").read_text()
    placed = tmp_path / "ingestd.service"
    placed.write_text(text.replace("/opt/ingestd/bin/ingestd", "/bin/true"))
    return placed


def said(*command: str) -> tuple[int, str]:
    """Run a command; give its exit code and all that it wrote."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_unit_is_one_that_systemd_takes_without_a_word(analyze: str, unit: Path) -> None:
    assert said(analyze, "verify", str(unit)) == (0, "")


@pytest.mark.parametrize("drop_in", DROP_INS, ids=lambda path: path.stem)
def test_so_is_it_with_each_drop_in(analyze: str, unit: Path, drop_in: Path) -> None:
    folder = unit.with_name("ingestd.service.d")
    folder.mkdir()
    shutil.copy(drop_in, folder)
    assert said(analyze, "verify", str(unit)) == (0, "")


def test_a_drop_in_that_is_wrong_would_be_seen(analyze: str, unit: Path) -> None:
    folder = unit.with_name("ingestd.service.d")
    folder.mkdir()
    (folder / "wrong.conf").write_text("[Service]\nNicce=3\n")
    assert "Nicce" in said(analyze, "verify", str(unit))[1]


@pytest.mark.parametrize("mount", MOUNTS, ids=lambda path: path.stem)
def test_the_mounts_are_such_too(analyze: str, mount: Path) -> None:
    assert said(analyze, "verify", str(mount)) == (0, "")


def test_the_unit_is_exposed_to_little(analyze: str, unit: Path) -> None:
    options = ["security", "--offline=true", f"--threshold={EXPOSURE}"]
    code, words = said(analyze, *options, str(unit))
    assert code == 0, words
    assert said(analyze, "security", "--offline=true", "--threshold=1", str(unit))[0] == 1


def setting(name: str) -> list[str]:
    """What the unit says there."""
    return re.findall(rf"^{name}=(.*)$", (DEPLOY / "ingestd.service").read_text(), re.MULTILINE)


def test_a_start_that_lacks_room_never_uses_up_the_starts_that_there_are() -> None:
    (burst,), (interval_s,), (pause_s,) = map(
        setting, ("StartLimitBurst", "StartLimitIntervalSec", "RestartSec")
    )
    assert (ending.LINGER_S + int(pause_s)) * int(burst) > int(interval_s)


def test_a_start_that_only_a_person_can_mend_is_not_tried_again() -> None:
    (codes,) = setting("RestartPreventExitStatus")
    assert {str(ending.USAGE), str(ending.BROKEN)} <= set(codes.split())
    assert str(ending.HALTED) not in codes.split()


def test_one_number_is_the_users_everywhere() -> None:
    (number,) = re.findall(
        r"^u ingestd (\d+)", (DEPLOY / "sysusers.conf").read_text(), re.MULTILINE
    )
    smb = (DEPLOY / "mounts" / "srv-dicom-upload.mount").read_text()
    image = (DEPLOY / "Containerfile").read_text()
    assert f"uid={number},gid={number}" in smb
    assert f"USER {number}:{number}" in image
    assert f"useradd -u {number}" in image


def test_each_drop_in_has_its_line_on_the_page_and_its_mount() -> None:
    page = (DEPLOY / "README.md").read_text()
    assert [path.name for path in DROP_INS if f"`{path.name}`" not in page] == []
    for kind in ("nfs", "smb"):
        text = (DEPLOY / "ingestd.service.d" / f"{kind}.conf").read_text()
        (place,) = re.findall(r"RequiresMountsFor=(\S+)", text)
        (mount,) = re.findall(r"mounts/(\S+\.mount)", text)
        assert f"Where={place}\n" in (DEPLOY / "mounts" / mount).read_text()


def test_the_container_file_is_short() -> None:
    lines = (DEPLOY / "Containerfile").read_text().splitlines()
    assert len(lines) <= 14
