import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingestd.names import MARK, NAME_BYTES, NO_PATIENT, in_archive, in_quarantine, mark, safe

UIDS = ("1.2.3", "1.2.3.4", "1.2.3.4.5")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("DEMO-0001", "DEMO-0001", id="as it is when it is fit"),
        pytest.param("Ab_9.z", "Ab_9.z", id="dots within"),
        pytest.param("a/b", f"a_b_{mark('a/b')}", id="a slash"),
        pytest.param("..", f"__{mark('..')}", id="the folder above"),
        pytest.param("../../etc/passwd", f"____etc_passwd_{mark('../../etc/passwd')}", id="out"),
        pytest.param(".hidden", f"hidden_{mark('.hidden')}", id="a hidden name"),
        pytest.param("-rf", f"rf_{mark('-rf')}", id="an option"),
        pytest.param("", f"__{mark('')}", id="nothing"),
        pytest.param("nul.dcm", f"nul_dcm_{mark('nul.dcm')}", id="a device of Windows"),
        pytest.param("山田", f"___{mark('山田')}", id="no ASCII"),
        pytest.param("x" * 65, f"{'x' * 64}_{mark('x' * 65)}", id="too long"),
        pytest.param("a\0b\n", f"a_b__{mark('a' + chr(0) + 'b' + chr(10))}", id="NUL and newline"),
        pytest.param(NO_PATIENT, f"{NO_PATIENT}_{mark(NO_PATIENT)}", id="our own word"),
    ],
)
def test_safe(name: str, expected: str) -> None:
    assert safe(name) == expected


@given(st.one_of(st.text(), st.text(alphabet="./-_~ aCONul1\\:", max_size=12)))
@example("\udcff")
@example("." * 300)
@example("a" * 64 + ".")
def test_whatever_is_sent_becomes_one_harmless_name(name: str) -> None:
    made = safe(name)
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", made)
    assert not made.endswith(".")
    assert len(made.encode()) <= NAME_BYTES + 1 + MARK
    assert made.upper().split(".")[0] not in {"CON", "PRN", "AUX", "NUL", "COM1", "LPT9"}


@given(st.lists(st.text(max_size=80), unique=True, min_size=2, max_size=20))
def test_two_texts_stay_two_names(names: list[str]) -> None:
    # Texts that UTF-8 cannot hold are told apart by what can.
    kept = {name for name in names if name.isprintable()}
    assert len({safe(name) for name in kept}) == len(kept)


@given(st.one_of(st.none(), st.text()))
def test_an_instance_has_a_place_of_four_names(patient_id: str | None) -> None:
    *_, study, series, instance = names = in_archive(patient_id, *UIDS).split("/")
    assert len(names) == 4
    assert (study, series, instance) == ("1.2.3", "1.2.3.4", "1.2.3.4.5.dcm")


@pytest.mark.parametrize(
    "uid", ["", "..", "1..2", "1/2", "a.b", "1." + "2" * 63, "1.2\n", "\u0661.2", ".1"]
)
def test_what_is_no_uid_becomes_no_name(uid: str) -> None:
    for place in range(3):
        uids = list(UIDS)
        uids[place] = uid
        with pytest.raises(ValueError, match="not a UID"):
            in_archive("x", *uids)


@given(st.text(min_size=1).filter(lambda text: not {"", ".", ".."} & set(text.split("/"))))
def test_a_refused_file_has_a_place_below_its_reason(path: str) -> None:
    where = in_quarantine(reason="not_dicom", root="/r", path=path, size_bytes=1, mtime_ns=2)
    folder, name = where.split("/")
    assert folder == "not_dicom"
    assert re.fullmatch(rf"[A-Za-z0-9_][A-Za-z0-9._-]*\.[0-9a-f]{{{MARK}}}", name)


def test_a_refused_file_that_comes_again_has_the_same_place_and_another_one_another() -> None:
    def place(root: str = "/r", path: str = "a/x", size_bytes: int = 1, mtime_ns: int = 2) -> str:
        return in_quarantine(
            reason="truncated", root=root, path=path, size_bytes=size_bytes, mtime_ns=mtime_ns
        )

    others = [place(root="/q"), place(path="b/x"), place(size_bytes=2), place(mtime_ns=3)]
    assert len({place(), place(), *others}) == 5
