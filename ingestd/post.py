"""Edge: POSTs its standard input; a program of its own, so that it can be ended at any moment.

No library bounds a whole request in time: a name that is not resolved, an answer that comes byte
by byte. A process can be killed. It imports nothing of ours, to start quickly.
"""

import os
import sys
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any

ANSWER_BYTES = 1000


class Straight(urllib.request.HTTPRedirectHandler):
    """Does not follow: the address in the config is wrong, and a POST would become a GET."""

    def redirect_request(self, *_: Any) -> None:
        """Say no."""
        return


def main() -> int:
    """POST once; the exit code says whether it was taken."""
    try:
        with urllib.request.build_opener(Straight).open(asked()) as answer:
            tell(f"{answer.status} ".encode() + answer.read(ANSWER_BYTES))
            return 0
    except urllib.error.HTTPError as error:
        tell(f"{error.code} ".encode() + error.read(ANSWER_BYTES))
    except OSError as error:
        tell(str(getattr(error, "reason", error)).encode(errors="replace"))
    except (HTTPException, ValueError) as error:  # Their words may quote address or token.
        tell(f"not sent, or answered with what is no HTTP: {type(error).__name__}".encode())
    return 1


def asked() -> urllib.request.Request:
    """Make the request of what we were given."""
    headers = {"Content-Type": "application/json", "User-Agent": "ingestd"}
    if token := os.environ.get("INGESTD_HOOK_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"
    return urllib.request.Request(  # noqa: S310 -- the config sees to http and https
        os.environ["INGESTD_HOOK_URL"],
        data=sys.stdin.buffer.read(),
        headers=headers,
        method="POST",
    )


def tell(words: bytes) -> None:
    """Say what came of it, whatever a terminal here could show."""
    sys.stdout.buffer.write(words)


if __name__ == "__main__":
    sys.exit(main())
