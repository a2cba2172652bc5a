"""What a folder holds, and which of it to reconstruct."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

import qsm_acquisition
from qsm_acquisition.acquisition import Acquisition, Survey
from qsm_acquisition.elements import text
from qsm_acquisition.refusals import Reason, Refusal
from qsm_recon.errors import InputError, TransientError, UsageError
from qsm_recon.qsm.progress import Progress, silent

ALL = "all"
"""Word for every usable acquisition."""

_TELLING = (
    Reason.AMBIGUOUS_IMAGES,
    Reason.INCOMPLETE,
    Reason.AMBIGUOUS_PAIR,
    Reason.INCONSISTENT_GEOMETRY,
    Reason.UNCOMBINED_COILS,
    Reason.PHASE_SCALING_UNKNOWN,
    Reason.FILTERED_PHASE,
    Reason.PHASE_DIFFERENCE_ONLY,
    Reason.FIELD_MAP_NOT_PHASE,
    Reason.INCOMPLETE_COMPLEX,
    Reason.NO_PHASE,
    Reason.NO_MAGNITUDE,
    Reason.TOO_FEW_ECHOES,
    Reason.TOO_FEW_SLICES,
    Reason.MISSING_ATTRIBUTE,
    Reason.INVALID_ATTRIBUTE,
    Reason.LOSSY_COMPRESSION,
    Reason.VENDOR_UNSUPPORTED,
    Reason.OWN_RESULT,
    Reason.NOT_GRADIENT_ECHO,
    Reason.DERIVED,
    Reason.LOCALIZER,
    Reason.UNREADABLE,
    Reason.NOT_AN_IMAGE,
    Reason.NO_IMAGES,
)
"""Reasons, the nearest to a usable scan first: that one stands for a folder in which nothing is usable."""

_NAMED_FILES = 8
"""More places than this are no help to anybody."""


def look(source: Path, progress: Progress = silent, series: tuple[str, ...] = ()) -> Survey:
    """Everything in a folder (with its subfolders) or one file, by header; never raises on any content.

    Parameters
    ----------
    source
        Folder or file.
    progress
        Called with the fraction of files looked at.
    series
        SeriesInstanceUIDs: take only these, as if nothing else lay there; empty: everything.

    Raises
    ------
    TransientError
        `SeriesMissing`: one of `series` is not there.
    """
    unopened: list[Refusal] = []
    places: dict[str, int] = {}
    paths = sorted(_files(source, unopened))
    headers: list[tuple[str, Dataset]] = []
    for count, path in enumerate(paths):
        outcome = qsm_acquisition.read_header(path)
        if isinstance(outcome, Refusal):
            unopened.append(outcome)
            places[str(path)] = count + 1
        else:
            headers.append((str(path), outcome))
        progress((count + 1) / len(paths))
    if series:
        headers, unopened = _only(series, headers), []
    found = qsm_acquisition.survey(headers)
    return Survey(found.acquisitions, (*found.refusals, *_grouped(unopened, places, len(paths))))


def _only(series: tuple[str, ...], headers: list[tuple[str, Dataset]]) -> list[tuple[str, Dataset]]:
    kept = [(path, header, text(header, "SeriesInstanceUID")) for path, header in headers]
    found = {uid for _, _, uid in kept}
    for number, uid in enumerate(series, 1):
        if uid not in found:
            raise TransientError(
                "SeriesMissing",
                f"series {number} of {len(series)} is not in the source (yet); send it, or name another",
            )
    return [(path, header) for path, header, uid in kept if uid in series]


def choose(survey: Survey, wanted: str) -> tuple[Acquisition, ...]:
    """The acquisitions to reconstruct.

    Parameters
    ----------
    survey
        From `look`.
    wanted
        A number as `inspect` shows it, `all`, or empty for the only one.

    Raises
    ------
    InputError
        Nothing is usable; reason and message are those of the refusal nearest to a usable scan, and `details`
        lists them all.
    UsageError
        Several are usable and none was named, or the number does not exist.
    """
    usable = survey.acquisitions
    if not usable:
        raise _nothing_usable(survey.refusals)
    if wanted == ALL:
        return usable
    if wanted:
        if not wanted.isdecimal() or not 1 <= int(wanted) <= len(usable):
            raise UsageError(f"--acquisition must be `all` or a number from 1 to {len(usable)}, got {wanted!r}")
        return (usable[int(wanted) - 1],)
    if len(usable) > 1:
        found = "; ".join(f"{number} = {in_words(one)}" for number, one in enumerate(usable, 1))
        raise UsageError(f"{len(usable)} usable acquisitions; name one with --acquisition N, or all: {found}")
    return usable


def left_out(survey: Survey) -> tuple[str, ...]:
    """What `run` says of the files beside the scan: a warning with the number of each kind, or nothing."""
    counts: dict[str, int] = {}
    for refusal in survey.refusals:
        counts[str(refusal.reason)] = counts.get(str(refusal.reason), 0) + refusal.instance_count
    if not counts:
        return ()
    kinds = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))
    return (f"FilesLeftOut: {sum(counts.values())} files of the folder are not part of a usable scan: {kinds}.",)


def in_words(acquisition: Acquisition) -> str:
    """One line about an acquisition, without identity."""
    times = ", ".join(f"{1000 * te:g}" for te in acquisition.echo_times_s)
    return (
        f"{acquisition.vendor} {acquisition.columns} x {acquisition.rows} x {acquisition.slice_count}, "
        f"{acquisition.echo_count} echoes at {times} ms, {acquisition.field_strength_t:.3g} T"
    )


def refusal_as_dict(refusal: Refusal) -> dict[str, Any]:
    """A refusal for programs: no paths, which may hold a name."""
    return {
        "reason": str(refusal.reason),
        "message": refusal.message,
        "instances": refusal.instance_count,
        "series_instance_uids": list(refusal.series_instance_uids),
    }


def _nothing_usable(refusals: tuple[Refusal, ...]) -> InputError:
    if not refusals:
        return InputError(str(Reason.NO_IMAGES), "the folder holds no files")
    ranked = sorted(refusals, key=lambda one: (_TELLING.index(one.reason), -one.instance_count))
    message = ranked[0].message
    if len(ranked) > 1:
        others = ", ".join(dict.fromkeys(str(one.reason) for one in ranked[1:]))
        message += f" (Also refused: {others}; `qsm-recon inspect` tells why.)"
    error = InputError(str(ranked[0].reason), message)
    error.details = {"refusals": [refusal_as_dict(refusal) for refusal in ranked]}
    return error


def _files(source: Path, unopened: list[Refusal]) -> Iterator[Path]:
    if not source.is_dir():
        yield source
        return

    def closed(error: OSError) -> None:
        text = "A folder inside cannot be opened."
        unopened.append(Refusal(Reason.UNREADABLE, text, instance_count=1, sources=(str(error.filename),)))

    for root, folders, names in os.walk(source, onerror=closed):
        folders.sort()
        for name in names:
            yield Path(root) / name


def _grouped(refusals: list[Refusal], places: dict[str, int], total: int) -> tuple[Refusal, ...]:
    """Files refused for the same reason in the same words as one refusal that tells their places in the folder.

    A file's name may be the patient's; its place in the sorted list of paths is nobody's.
    """
    groups: dict[tuple[Reason, str], list[Refusal]] = {}
    for refusal in refusals:
        groups.setdefault((refusal.reason, refusal.message), []).append(refusal)
    return tuple(
        Refusal(
            reason,
            message + _where([places[name] for one in members for name in one.sources if name in places], total),
            instance_count=sum(one.instance_count for one in members),
            sources=tuple(sorted(name for one in members for name in one.sources)),
        )
        for (reason, message), members in groups.items()
    )


def _where(numbers: list[int], total: int) -> str:
    """' (In order of paths: file 3, 17 of 120.)' or nothing."""
    if not numbers:
        return ""
    shown = ", ".join(str(number) for number in numbers[:_NAMED_FILES])
    more = f" and {len(numbers) - _NAMED_FILES} more" if len(numbers) > _NAMED_FILES else ""
    return f" (In order of paths: file {shown}{more} of {total}.)"
