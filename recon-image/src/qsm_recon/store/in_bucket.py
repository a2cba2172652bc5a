"""The store in a bucket: the same names as in a folder, each an object below a prefix."""

from collections.abc import Iterator
from pathlib import Path

from qsm_recon.store.backing import Backing, Content, Entry
from qsm_recon.transfer.s3 import Bucket, Expiry
from qsm_recon.transfer.s3_patience import PATIENT, Patience


class BucketBacking(Backing):
    """Objects below one prefix; a PUT appears whole or not at all."""

    where = "the bucket"

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket

    @classmethod
    def at(cls, connection: Path, uri: str, patience: Patience = PATIENT) -> "BucketBacking":
        """Open it and find out that it answers.

        Raises
        ------
        ReconError
            With the reason.
        """
        bucket = Bucket.at(connection, uri, patience)
        bucket.check()
        return cls(bucket)

    def write(self, name: str, content: Content, sha256: str) -> None:
        """Put the object."""
        self.bucket.put(name, content.open, content.size, sha256)

    def read_hashed(self, name: str, limit: int) -> tuple[memoryview, str] | None:
        """Get the object and hash what comes."""
        return self.bucket.get_hashed(name, limit)

    def entries(self, prefix: str) -> Iterator[Entry]:
        """List the objects."""
        for entry in self.bucket.entries(prefix):
            yield Entry(entry.name, entry.bytes, entry.modified)

    expires_by_itself = True

    def retention(self) -> dict[str, int]:
        """The bucket's lifecycle rules."""
        return {expiry.name: expiry.days for expiry in self.bucket.expiries()}

    def set_retention(self, days: dict[str, int]) -> None:
        """Write lifecycle rules."""
        self.bucket.set_expiries(tuple(Expiry(name, f"{name}/", count) for name, count in days.items()))

    def remove(self, name: str) -> None:
        """Delete the object."""
        self.bucket.remove(name)
