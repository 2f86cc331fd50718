"""Wiring. What commands ask for that changes something, done by whoever owns the state folder."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ingestd.audit import Audit
from ingestd.backup import backup
from ingestd.doing import Deed, Stopping, Tell
from ingestd.errors import ConfigError
from ingestd.hands import Hands
from ingestd.replay import replay


def deeds(hands: Hands) -> dict[str, Deed]:
    """Give all of them, by name."""

    def retry(asked: Mapping[str, Any], _: Tell, __: Stopping) -> dict[str, Any]:
        return replay(hands, str(asked.get("reason") or ""))

    def audit(asked: Mapping[str, Any], tell: Tell, stopping: Stopping) -> dict[str, Any]:
        sample = asked.get("sample")
        return Audit(
            hands=hands,
            tell=tell,
            stopping=stopping,
            sample=None if sample is None else int(sample),
            repair=bool(asked.get("repair")),
        ).run()

    def back_up(asked: Mapping[str, Any], tell: Tell, stopping: Stopping) -> dict[str, Any]:
        place, keep = Path(str(asked["place"])), asked.get("keep")
        ours = [hands.works.state.absolute() / name for name in ("thumbnails", "volumes", "tmp")]
        for other in (*(root.path for root in hands.works.settings.root), *ours):
            if Path(os.path.realpath(place)).is_relative_to(os.path.realpath(other)):
                raise ConfigError(f"backup {place}: lies in {other}; choose another folder")
        return backup(
            hands.works.catalog,
            place,
            keep=None if keep is None else int(keep),
            tell=tell,
            stopping=stopping,
        )

    return {"retry": retry, "audit": audit, "backup": back_up}
