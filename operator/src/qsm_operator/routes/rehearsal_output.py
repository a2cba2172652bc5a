"""What `qsm-operator route test` prints.

Nothing of it tells who the patient is, so that it can be pasted into a ticket: of what images say, numbers and code
words are shown, free text only where the caller asks for it.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pydicom.datadict import dictionary_VR

from qsm_acquisition import Acquisition, Refusal
from qsm_operator.resources.custom import ROUTE_LABEL
from qsm_operator.routes.matching import Decision, Finding, Outcome, Traits
from qsm_operator.routes.rehearsal import Rehearsal

_HARMLESS_VRS = frozenset({"CS", "DS", "IS", "FL", "FD", "US", "SS", "UL", "SL"})
_CODE_WORD = re.compile(r"[A-Z0-9_ .\\+-]{1,64}")
_LONGEST_VALUE = 64
_MOST_VALUES = 6


@dataclass(frozen=True, slots=True)
class Shown:
    """Which of the values that images state are printed."""

    everything: bool = False

    def values(self, seen: Traits, finding: Finding) -> list[str] | None:
        """What the images say in the attribute a finding asks about; none where it is not for everybody's eyes."""
        if finding.tag is None or finding.tag not in seen.stated:
            return None
        texts = seen.stations if finding.field == "match.stations" else seen.stated[finding.tag].texts
        alone = sorted(one for one in texts if "\\" not in one) or sorted(texts)
        if not self.everything and not _is_harmless(finding.tag, alone):
            return None
        return [_printable(one) for one in alone[:_MOST_VALUES]] + (["..."] if len(alone) > _MOST_VALUES else [])


def _is_harmless(tag: int, texts: Iterable[str]) -> bool:
    try:
        return dictionary_VR(tag) in _HARMLESS_VRS and all(_CODE_WORD.fullmatch(one) for one in texts)
    except KeyError:
        return False


def _printable(value: str) -> str:
    plain = "".join(letter if letter.isprintable() else "?" for letter in value)
    return plain if len(plain) <= _LONGEST_VALUE else plain[: _LONGEST_VALUE - 3] + "..."


def as_dict(rehearsals: Iterable[Rehearsal], refusals: Iterable[Refusal], shown: Shown) -> dict[str, Any]:
    """Everything, for programs."""
    return {
        "usable": [_rehearsal_as_dict(number, one, shown) for number, one in enumerate(rehearsals, 1)],
        "refused": [
            {"reason": str(reason), "message": message, "instances": count}
            for (reason, message), count in _counted(refusals).items()
        ],
    }


def _rehearsal_as_dict(number: int, one: Rehearsal, shown: Shown) -> dict[str, Any]:
    return {
        "number": number,
        "vendor": str(one.acquisition.vendor),
        "echo_times_s": list(one.acquisition.echo_times_s),
        "field_strength_t": one.acquisition.field_strength_t,
        "images": len(one.acquisition.cells),
        "series": len(one.acquisition.series_instance_uids),
        "routes": [
            {
                "name": decision.route.name,
                "outcome": str(decision.outcome),
                "reason": decision.reason,
                "questions": [
                    {
                        "field": finding.field,
                        "question": finding.question,
                        "holds": finding.holds,
                        "hinders": finding.hinders,
                        "values": shown.values(one.seen, finding),
                    }
                    for finding in decision.findings
                ],
            }
            for decision in one.decisions
        ],
        "jobs": list(one.manifests),
    }


def lines(rehearsals: Iterable[Rehearsal], refusals: Iterable[Refusal], shown: Shown) -> Iterator[str]:
    """The same for people."""
    number = 0
    for number, one in enumerate(rehearsals, 1):
        yield from _acquisition_lines(number, one.acquisition)
        for decision in one.decisions:
            yield f"     route {decision.route.name}: {_HEADLINE[decision.outcome]}{_why(decision)}"
            for finding in decision.findings:
                yield f"       {'-' if finding.hinders else '+'} {_finding(finding, shown.values(one.seen, finding))}"
        for manifest in one.manifests:
            labels = manifest["metadata"]["labels"]
            pipeline = manifest["spec"]["pipelineRef"]["name"]
            yield f"     job {manifest['metadata']['name']}: {pipeline}, by route {labels[ROUTE_LABEL]}"
        if not one.manifests:
            yield "     no job"
    counted = _counted(refusals)
    if counted:
        yield "Refused"
    for (reason, message), count in counted.items():
        yield f"     {reason}, {_files_in_words(count)}"
        yield f"       {message}"
    if not number:
        yield "Nothing here can be reconstructed."


_HEADLINE = {
    Outcome.TAKEN: "takes it",
    Outcome.NOT_MATCHED: "does not match",
    Outcome.PAUSED: "is not asked",
    Outcome.NOT_ASKED: "is not asked",
}


def _why(decision: Decision) -> str:
    return "" if decision.findings or decision.outcome is Outcome.TAKEN else f", {decision.reason}"


def _acquisition_lines(number: int, one: Acquisition) -> Iterator[str]:
    times = ", ".join(f"{1000 * time:g}" for time in one.echo_times_s)
    series = len(one.series_instance_uids)
    yield f"{number:>3}  {one.vendor} {_printable(one.software_versions)}"
    yield (
        f"     {one.columns} x {one.rows} x {one.slice_count} voxels, {one.field_strength_t:.3g} T, "
        f"{one.echo_count} echoes at {times} ms, {len(one.cells)} images in {series} series"
    )


def _finding(finding: Finding, values: list[str] | None) -> str:
    answer = "yes" if finding.holds else "no"
    if finding.hinders and finding.holds:
        answer = "yes, but may not be"
    said = "" if values is None else f" (it is {', '.join(values)})" if values else " (it is not there)"
    return f"{finding.field}: {finding.question}: {answer}{said}"


def _counted(refusals: Iterable[Refusal]) -> dict[tuple[str, str], int]:
    """Files by reason and message; never by path, which may hold a name."""
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for refusal in refusals:
        counts[str(refusal.reason), refusal.message] += refusal.instance_count
    return dict(sorted(counts.items()))


def _files_in_words(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"
