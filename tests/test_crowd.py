from ingestd.crowd import Crowd
from ingestd.model import NEW, Sighting


def look(path: str, changed_ns: int = 0) -> Sighting:
    return Sighting(root="/r", path=path, size_bytes=1, mtime_ns=1, seen_s=0, changed_ns=changed_ns)


def test_of_many_files_some_of_each_folder_come_in_and_a_single_one_does() -> None:
    crowd = Crowd(limit=100)
    crowd.put(look("alone/file"), NEW)
    for number in range(5000):
        crowd.put(look(f"all/{number % 20}/{number}", number), NEW)
    assert len(crowd) == 100
    files, left_some = crowd.take(10)
    assert "alone/file" in [sighting.path for sighting, _ in files]
    assert (len(files), left_some, len(crowd)) == (10, True, 0)


def test_the_newest_of_one_folder_comes_in_whenever_it_was_found() -> None:
    crowd = Crowd(limit=50)
    for number in range(1000):
        crowd.put(look(f"all/{number}", changed_ns=9 if number == 300 else 1), NEW)
    files, _ = crowd.take(1)
    assert [sighting.path for sighting, _ in files] == ["all/300"]


def test_when_all_come_in_none_is_left_to_a_sweep() -> None:
    crowd = Crowd(limit=50)
    crowd.put(look("a"), NEW)
    assert crowd.take(10) == ([(look("a"), NEW)], False)
    assert crowd.take(10) == ([], False)
