"""How far Orthanc's changes were read: kept in the cluster, in a ConfigMap for each connection."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qsm_operator.cluster.door import ApiError, Cluster
from qsm_operator.orthanc.answers import Change, Changes

_CONFLICT = 409


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last change that was read and dealt with. `row` tells whether the change of that number is still the same."""

    seq: int = 0
    row: str = ""


def row_of(change: Change) -> str:
    """A change, in short."""
    said = f"{change.seq} {change.kind} {change.id} {change.date}"
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def is_rewound(cursor: Cursor, page: Changes) -> bool:
    """Whether Orthanc's database is an older one, or another, by the page asked for with `since=cursor.seq - 1`.

    Rows of deleted resources go; that the row of the cursor is not there says nothing.
    """
    if page.last < cursor.seq:
        return True
    return any(row.seq == cursor.seq and cursor.row not in {"", row_of(row)} for row in page.rows)


class CursorStore:
    """The ConfigMap of one connection. Writing fails where another replica wrote since (it leads now)."""

    def __init__(self, cluster: Cluster, namespace: str, connection: str) -> None:
        self.name = f"qsm-intake-{connection}"
        self._cluster, self._namespace = cluster, namespace
        self._metadata: Mapping[str, Any] | None = None

    async def load(self) -> Cursor | None:
        """The cursor; none where there is none yet, or what is there is no cursor. Raises ApiError."""
        found = await self._cluster.get("configmaps", self._namespace, self.name)
        self._metadata = (found or {}).get("metadata")
        data = (found or {}).get("data") or {}
        seq = str(data.get("seq", ""))
        return Cursor(int(seq), str(data.get("row", ""))) if seq.isdecimal() else None

    async def save(self, cursor: Cursor) -> bool:
        """Write it; False where another replica wrote since it was loaded (then load again). Raises ApiError."""
        kept = {key: (self._metadata or {})[key] for key in ("uid", "resourceVersion") if key in (self._metadata or {})}
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": self.name, "labels": {"app.kubernetes.io/part-of": "qsm-operator"}, **kept},
            "data": {"seq": str(cursor.seq), "row": cursor.row},
        }
        try:
            if self._metadata is None:
                saved = await self._cluster.create("configmaps", self._namespace, body)
            else:
                saved = await self._cluster.replace("configmaps", self._namespace, self.name, body)
        except ApiError as error:
            if error.status in {_CONFLICT, 404}:
                return False
            raise
        self._metadata = saved.get("metadata")
        return True
