"""Whether a series that was stored anew says the same as before."""

from qsm_operator.intake.marks import Content, digest
from qsm_operator.orthanc.door import Orthanc


async def fingerprint(orthanc: Orthanc, series_id: str, before: Content | None) -> Content:
    """Fingerprint of a series as it is now. Where its files are those of `before`, none is asked for its MD5.

    Raises
    ------
    OrthancError
        It cannot be taken.
    """
    instances = await orthanc.instances(series_id)
    files = digest(f"{one.id} {one.file}" for one in instances)
    if before is not None and before.files == files:
        return before
    sums = [f"{one.id} {await orthanc.md5(one.id)}" for one in instances]
    return Content(files, digest(sums))
