import errno
import os
import queue
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from ingestd.hints import Hint
from ingestd.watch import KernelWatch, Means, Mount, choose, mount_of, mounts_below

MOUNTS = r"""21 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 21 0:40 / /mnt/share rw,relatime shared:1 - nfs4 server:/x rw,vers=4.2
31 30 0:41 / /mnt/share/local rw - xfs /dev/vdb rw
32 21 0:42 / /mnt/with\040blank rw - cifs //server/x rw
33 21 0:43 / /mnt/twice rw - ext4 /dev/vdc rw
34 21 0:44 / /mnt/twice rw - fuse.sshfs x rw
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("/data", Mount(place="/", kind="ext4"), id="on the root"),
        pytest.param("/mnt/share/a", Mount(place="/mnt/share", kind="nfs4"), id="on a share"),
        pytest.param(
            "/mnt/share/local/a",
            Mount(place="/mnt/share/local", kind="xfs"),
            id="mounted in a share",
        ),
        pytest.param("/mnt/shared", Mount(place="/", kind="ext4"), id="a name that only begins so"),
        pytest.param(
            "/mnt/with blank", Mount(place="/mnt/with blank", kind="cifs"), id="a name with a blank"
        ),
        pytest.param(
            "/mnt/twice/a",
            Mount(place="/mnt/twice", kind="fuse.sshfs"),
            id="the upper of two mounts",
        ),
    ],
)
def test_mount_of(path: str, expected: Mount) -> None:
    assert mount_of(path, MOUNTS) == expected


@pytest.mark.parametrize(
    ("path", "wish", "how"),
    [
        pytest.param("/data", "auto", "events", id="a local disk has events"),
        pytest.param("/mnt/share", "auto", "poll", id="a share is polled"),
        pytest.param("/mnt/twice", "auto", "poll", id="FUSE is polled"),
        pytest.param("/mnt/share", "events", "events", id="unless the config says otherwise"),
        pytest.param("/data", "poll", "poll", id="in both directions"),
    ],
)
def test_choose(path: str, wish: str, how: str) -> None:
    means: Means = choose(wish, mount_of(path, MOUNTS))  # type: ignore[arg-type]
    assert (means.how, means.polled) == (how, how == "poll")


def test_a_share_mounted_in_a_local_root_is_polled_and_the_rest_has_events() -> None:
    below = mounts_below("/mnt", MOUNTS)
    means = choose("auto", mount_of("/mnt", MOUNTS), below)
    assert (means.how, means.polled) == ("events", True)
    assert means.why == (
        "ext4 is local; nfs4 at /mnt/share, cifs at /mnt/with blank, fuse.sshfs at /mnt/twice"
        " is polled"
    )


@pytest.fixture
def kernel() -> Iterator[KernelWatch]:
    watching = KernelWatch(lambda: None)
    yield watching
    watching.stop()


def heard(hints: "queue.Queue[Hint]", wanted: set[str]) -> set[str]:
    """Collect hints until all that is wanted was heard, for at most ten seconds."""
    found: set[str] = set()
    while not wanted <= found:
        found.add(hints.get(timeout=10).path)
    return found


def test_files_that_are_made_moved_and_linked_give_hints(
    kernel: KernelWatch, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "outside").touch()
    hints: queue.Queue[Hint] = queue.Queue()
    kernel.add(str(root), hints.put)
    (root / "made").write_bytes(b"x")
    (root / "made").rename(root / "moved")
    (root / "linked").hardlink_to(root / "moved")
    shutil.move(tmp_path / "outside", root / "arrived")
    assert heard(hints, {"made", "moved", "linked", "arrived"})


def test_a_new_folder_is_a_hint_to_list_it(kernel: KernelWatch, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "tree" / "below").mkdir(parents=True)
    hints: queue.Queue[Hint] = queue.Queue()
    kernel.add(str(root), hints.put)
    (tmp_path / "tree").rename(root / "tree")
    while not (hint := hints.get(timeout=10)).is_folder:
        pass
    assert hint.path == "tree"


def test_a_root_can_be_added_again_after_it_was_deleted_and_made_anew(
    kernel: KernelWatch, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    hints: queue.Queue[Hint] = queue.Queue()
    for _ in range(2):
        root.mkdir()
        kernel.add(str(root), hints.put)
        (root / "file").touch()
        assert heard(hints, {"file"})
        shutil.rmtree(root)


def test_folders_too_deep_for_the_observer_are_an_error_of_the_root(
    request: pytest.FixtureRequest, kernel: KernelWatch, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    handle = os.open(root, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=handle)
        handle, above = os.open("d", os.O_RDONLY, dir_fd=handle), handle
        os.close(above)
    os.close(handle)
    request.addfinalizer(partial(subprocess.run, ["rm", "-rf", root], check=True))
    if sys.version_info >= (3, 12):  # There os.walk is not recursive.
        kernel.add(str(root), lambda _: None)
        assert kernel.alive(str(root))
        return
    with pytest.raises(OSError, match="too deep") as raised:
        kernel.add(str(root), lambda _: None)
    assert raised.value.errno == errno.ENAMETOOLONG
    assert not kernel.alive(str(root))


def test_a_disk_that_is_unmounted_and_mounted_again_at_once_takes_its_watches_with_it(
    request: pytest.FixtureRequest, kernel: KernelWatch, tmp_path: Path
) -> None:
    if os.geteuid():
        pytest.skip("only root may mount")
    root, inner, other = tmp_path / "root", tmp_path / "other" / "inner", tmp_path / "other"
    for folder in (root, inner):
        folder.mkdir(parents=True)
    for place in (root, inner):
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=True)
        request.addfinalizer(partial(subprocess.run, ["umount", "-l", place], check=True))
    kernel.add(str(root), lambda _: None)
    kernel.add(str(other), lambda _: None, [str(inner)])
    (root / "file").touch()
    assert kernel.alive(str(root))
    assert kernel.alive(str(other))
    for place in (root, inner):
        subprocess.run(["umount", place], check=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=True)
    assert not kernel.alive(str(root))
    assert not kernel.alive(str(other))
    kernel.add(str(root), lambda _: None)
    assert kernel.alive(str(root))
