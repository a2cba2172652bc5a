"""One question about one DICOM attribute, and whether what an acquisition says answers it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import re2
from pydicom.datadict import keyword_for_tag, tag_for_keyword

from qsm_acquisition.attributes import Stated

_IDENTITY = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientBirthTime", "PatientBirthName", "OtherPatientIDs",
    "OtherPatientNames", "OtherPatientIDsSequence", "IssuerOfPatientID", "PatientAddress", "PatientTelephoneNumbers",
    "PatientMotherBirthName", "PatientComments", "MilitaryRank", "EthnicGroup", "AccessionNumber", "AdmissionID",
    "StudyID",
)  # fmt: skip
"""Who the patient is: nobody may ask (the schema of QSMRoute refuses the same)."""

_NUMBER = re.compile(r"[-+]?[0-9]+([.][0-9]+)?([eE][-+]?[0-9]{1,2})?")
_TAG = re.compile(r"([0-9A-Fa-f]{4}),([0-9A-Fa-f]{4})")
_PATTERN_MEMORY_BYTES = 1 << 20


class RouteError(ValueError):
    """A QSMRoute that cannot be understood; the message names the field."""


@dataclass(frozen=True, slots=True)
class OneOf:
    """The value is one of these."""

    values: frozenset[str]

    def holds(self, found: Stated) -> bool:
        """Numbers are compared as numbers (3 is 3.0), all else letter by letter."""
        numbers = {float(value) for value in self.values if _NUMBER.fullmatch(value)}
        return bool(self.values & found.texts) or bool(numbers & found.numbers)

    @property
    def wish(self) -> str:
        """What is asked, as the end of a sentence."""
        return "is " + " or ".join(repr(value) for value in sorted(self.values))


@dataclass(frozen=True, slots=True)
class Pattern:
    """The whole value fits a regular expression (RE2)."""

    expression: str
    compiled: Any

    def holds(self, found: Stated) -> bool:
        """RE2 takes time in proportion to the text, whatever the expression."""
        return any(self.compiled.fullmatch(text) for text in found.texts)

    @property
    def wish(self) -> str:
        """What is asked, as the end of a sentence."""
        return f"fits {self.expression}"


@dataclass(frozen=True, slots=True)
class Range:
    """The value is a number from min to max, ends included."""

    low: float | None
    high: float | None

    def holds(self, found: Stated) -> bool:
        """A number written as text counts; any other text is outside every range."""
        written = {float(text) for text in found.texts if _NUMBER.fullmatch(text)}
        return any(self.includes(value) for value in written | found.numbers)

    def includes(self, value: float) -> bool:
        """Whether one number lies inside."""
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    @property
    def wish(self) -> str:
        """What is asked, as the end of a sentence."""
        if self.high is None:
            return f"is at least {self.low:g}"
        return f"is at most {self.high:g}" if self.low is None else f"is from {self.low:g} to {self.high:g}"


@dataclass(frozen=True, slots=True)
class Present:
    """The attribute is there and not empty, or is not."""

    wanted: bool

    def holds(self, found: Stated) -> bool:
        """In at least one image, or in none."""
        return found.is_present is self.wanted

    @property
    def wish(self) -> str:
        """What is asked, as the end of a sentence."""
        return "is there" if self.wanted else "is not there"


@dataclass(frozen=True, slots=True)
class Criterion:
    """A question about one attribute."""

    field: str
    """Where it stands in the route, such as match.all[0]."""
    attribute: str
    """The attribute as the route names it."""
    tag: int
    question: OneOf | Pattern | Range | Present

    @property
    def wish(self) -> str:
        """The question in words."""
        keyword = keyword_for_tag(self.tag)
        name = f"{self.attribute} ({keyword})" if keyword and keyword != self.attribute else self.attribute
        return f"{name} {self.question.wish}"


def read_criterion(document: Any, field: str) -> Criterion:
    """One entry of all, any or none.

    Raises
    ------
    RouteError
        It is no criterion, or asks who the patient is.
    """
    if not isinstance(document, Mapping):
        raise RouteError(f"{field} must be a criterion with the field attribute")
    known(document, ("attribute", "equals", "pattern", "range", "present"), field)
    attribute = text(document, "attribute", field)
    asked = [name for name in ("equals", "pattern", "range", "present") if document.get(name) is not None]
    if len(asked) != 1:
        raise RouteError(f"{field} needs exactly one of equals, pattern, range and present")
    question = _question(asked[0], document[asked[0]], f"{field}.{asked[0]}")
    return Criterion(field, attribute, _tag(attribute, field), question)


def read_range(document: Any, field: str) -> Range:
    """Limits written as quoted numbers, or as numbers.

    Raises
    ------
    RouteError
        No limit, no number, or min larger than max.
    """
    if not isinstance(document, Mapping):
        raise RouteError(f"{field} must have min or max or both")
    known(document, ("min", "max"), field)
    low, high = (_limit(document.get(name), f"{field}.{name}") for name in ("min", "max"))
    if low is None and high is None:
        raise RouteError(f"{field} needs min or max or both")
    if low is not None and high is not None and low > high:
        raise RouteError(f"{field}.min is larger than max")
    return Range(low, high)


def tells_who(tag: int) -> bool:
    """Whether an attribute tells who the patient is."""
    return tag in {tag_for_keyword(keyword) for keyword in _IDENTITY}


def known(document: Mapping[str, Any], fields: tuple[str, ...], field: str) -> None:
    """Refuse what nobody knows: a misspelt criterion would match too much.

    Raises
    ------
    RouteError
        Names the first unknown field.
    """
    for name in document:
        if name not in fields:
            raise RouteError(f"{field}.{name} is no field of a QSMRoute")


def text(document: Mapping[str, Any], name: str, field: str) -> str:
    """A text that must be there.

    Raises
    ------
    RouteError
        It is absent, empty or no text.
    """
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise RouteError(f"{field}.{name} is needed, and must be text")
    return value


def _question(name: str, value: Any, field: str) -> OneOf | Pattern | Range | Present:
    match name:
        case "equals":
            if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
                raise RouteError(f"{field} must be a list of texts, each in quotes")
            return OneOf(frozenset(one.strip() for one in value))
        case "pattern":
            return _pattern(value, field)
        case "range":
            return read_range(value, field)
        case _:
            if not isinstance(value, bool):
                raise RouteError(f"{field} must be true or false")
            return Present(value)


def _pattern(value: Any, field: str) -> Pattern:
    if not isinstance(value, str) or not value:
        raise RouteError(f"{field} must be a regular expression")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _PATTERN_MEMORY_BYTES
    try:
        return Pattern(value, re2.compile(value, options))
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        said = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise RouteError(f"{field} must be a regular expression in RE2 syntax: {said}") from None


def _limit(value: Any, field: str) -> float | None:
    if value is None:
        return None
    said = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    if not isinstance(said, str) or not _NUMBER.fullmatch(said):
        raise RouteError(f'{field} must be a number in quotes, such as "2.8"')
    return float(said)


def _tag(attribute: str, field: str) -> int:
    pair = _TAG.fullmatch(attribute)
    tag = int(pair[1] + pair[2], 16) if pair else tag_for_keyword(attribute)
    if tag is None:
        raise RouteError(
            f"{field}.attribute is no DICOM keyword and no tag: write a keyword such as ProtocolName, "
            "or a tag such as 0018,1030"
        )
    if tells_who(tag):
        raise RouteError(f"{field}.attribute may not be an attribute that tells who the patient is")
    return tag
