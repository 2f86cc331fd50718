"""Edge: POSTs its standard input; a program of its own, so that it can be ended at any moment.

No library bounds a whole request in time: a name that is not resolved, an answer that comes byte
by byte. A process can be killed. It imports nothing of ours, to start quickly.
"""

import os
import sys
import urllib.error
import urllib.request
from typing import Any

ANSWER_BYTES = 1000


class Straight(urllib.request.HTTPRedirectHandler):
    """Does not follow: the address in the config is wrong, and a POST would become a GET."""

    def redirect_request(self, *_: Any) -> None:
        """Say no."""
        return


def main() -> int:
    """POST once; the exit code says whether it was taken."""
    headers = {"Content-Type": "application/json", "User-Agent": "ingestd"}
    if token := os.environ.get("INGESTD_HOOK_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(  # noqa: S310 -- the config sees to http and https
        os.environ["INGESTD_HOOK_URL"],
        data=sys.stdin.buffer.read(),
        headers=headers,
        method="POST",
    )
    try:
        with urllib.request.build_opener(Straight).open(request) as answer:
            sys.stdout.write(f"{answer.status} {_text(answer)}")
            return 0
    except urllib.error.HTTPError as error:
        sys.stdout.write(f"{error.code} {_text(error)}")
    except OSError as error:
        sys.stdout.write(str(getattr(error, "reason", error)))
    return 1


def _text(answer: Any) -> str:
    return str(answer.read(ANSWER_BYTES).decode("utf-8", "replace"))


if __name__ == "__main__":
    sys.exit(main())
