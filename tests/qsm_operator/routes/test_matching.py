"""Which routes take an acquisition, and why: laws of all, any and none, and what each question means."""

import random
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydicom.datadict import tag_for_keyword

from qsm_acquisition.attributes import Stated
from qsm_operator.routes import criteria
from qsm_operator.routes.criteria import RouteError
from qsm_operator.routes.matching import Outcome, Route, Traits, asked_tags, decide, in_order

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = sorted((ROOT / "examples/routes").glob("*.yaml"))


def route(match=None, name="one", **spec):
    whole = {
        "source": {"orthanc": {"connectionRef": {"name": "main"}}},
        "match": match or {"everything": True},
        "pipelines": [{"name": "medi0-v1"}],
    }
    return Route.from_resource({"metadata": {"name": name, "namespace": "mri"}, "spec": whole | spec})


def says(*, stations=(), field_strength_t=3.0, echo_count=5, **values):
    """What an acquisition says: each attribute by keyword, a text, a number or a list of them."""
    stated = {}
    for keyword, value in values.items():
        listed = value if isinstance(value, list) else [value]
        stated[tag_for_keyword(keyword)] = Stated(
            frozenset(str(one) for one in listed),
            frozenset(float(one) for one in listed if not isinstance(one, str)),
            bool(listed),
        )
    return Traits(stated, frozenset(stations), field_strength_t, echo_count)


def takes(match, seen) -> bool:
    (decision,) = decide(seen, [route(match)])
    return decision.outcome is Outcome.TAKEN


def asks(**criterion):
    return {"all": [criterion]}


@pytest.mark.parametrize(
    ("criterion", "seen", "holds"),
    [
        ({"equals": ["BRAIN", "HEAD"]}, says(BodyPartExamined="HEAD"), True),
        ({"equals": ["BRAIN", "HEAD"]}, says(BodyPartExamined="head"), False),
        ({"equals": [" HEAD "]}, says(BodyPartExamined="HEAD"), True),
        ({"equals": ["HEAD"]}, says(), False),
        ({"pattern": "HE.D"}, says(BodyPartExamined="HEAD"), True),
        ({"pattern": "EA"}, says(BodyPartExamined="HEAD"), False),
        ({"pattern": ".*EA.*"}, says(BodyPartExamined="HEAD"), True),
        ({"pattern": "(?i)head"}, says(BodyPartExamined="HEAD"), True),
        ({"pattern": ".*"}, says(), False),
        ({"present": True}, says(BodyPartExamined="HEAD"), True),
        ({"present": True}, says(), False),
        ({"present": False}, says(), True),
        ({"present": False}, says(BodyPartExamined="HEAD"), False),
    ],
)
def test_a_question_about_text(criterion, seen, holds):
    assert takes(asks(attribute="BodyPartExamined", **criterion), seen) is holds


@pytest.mark.parametrize(
    ("criterion", "value", "holds"),
    [
        ({"range": {"min": "2.8", "max": "3.2"}}, 3.0, True),
        ({"range": {"min": "3"}}, 3.0, True),
        ({"range": {"max": "3"}}, 3.0, True),
        ({"range": {"max": "2.99999"}}, 3.0, False),
        ({"range": {"min": "1"}}, "3", True),
        ({"range": {"min": "1"}}, "thick", False),
        ({"equals": ["3"]}, 3.0, True),
        ({"equals": ["3.00"]}, 3.0, True),
        ({"equals": ["3"]}, "3.0", False),
        ({"range": {"min": "1e1"}}, [3.0, 11.0], True),
    ],
)
def test_a_question_about_numbers(criterion, value, holds):
    assert takes(asks(attribute="SliceThickness", **criterion), says(SliceThickness=value)) is holds


def test_a_tag_asks_the_same_as_its_keyword():
    seen = says(ProtocolName="QSM_STUDY_17")
    assert takes(asks(attribute="0018,1030", equals=["QSM_STUDY_17"]), seen)
    assert takes(asks(attribute="ProtocolName", equals=["QSM_STUDY_17"]), seen)


def test_of_several_values_one_that_fits_is_enough():
    seen = says(SeriesDescription=["gre_mag", "gre_pha"])
    assert takes(asks(attribute="SeriesDescription", pattern=".*_mag"), seen)
    assert not takes({"none": [{"attribute": "SeriesDescription", "pattern": ".*_mag"}]}, seen)


def test_the_station_is_the_scanner_or_the_sender():
    for name in ("MRC1", "SENDER"):
        assert takes({"stations": [name]}, says(stations=["MRC1", "SENDER"]))
    assert not takes({"stations": ["mrc1"]}, says(stations=["MRC1", "SENDER"]))
    assert not takes({"stations": ["MRC1"]}, says())


def test_field_strength_and_echo_count_are_ranges_with_their_ends():
    assert takes({"fieldStrengthTesla": {"min": "2.8", "max": "3"}}, says(field_strength_t=3.0))
    assert not takes({"fieldStrengthTesla": {"min": "2.8"}}, says(field_strength_t=1.5))
    assert takes({"echoCount": {"min": 5, "max": 5}}, says())
    assert not takes({"echoCount": {"min": 6}}, says())


# -- laws

QUESTIONS = [
    {"attribute": "BodyPartExamined", "equals": ["HEAD"]},
    {"attribute": "ProtocolName", "pattern": ".*qsm.*"},
    {"attribute": "SliceThickness", "range": {"max": "2"}},
    {"attribute": "ContrastBolusAgent", "present": True},
    {"attribute": "ContrastBolusAgent", "present": False},
]
groups = st.lists(st.sampled_from(QUESTIONS), min_size=1, max_size=5)
acquisitions = st.builds(
    says,
    BodyPartExamined=st.sampled_from([[], "HEAD", "KNEE", ["HEAD", "NECK"]]),
    ProtocolName=st.sampled_from([[], "a qsm b", "swi", ["swi", "qsm"]]),
    SliceThickness=st.sampled_from([[], 1.0, 3.0, [1.0, 3.0], "thin"]),
    ContrastBolusAgent=st.sampled_from([[], "x"]),
)


@given(groups, acquisitions)
def test_any_of_one_is_all_of_one_and_none_is_its_opposite(questions, seen):
    alone = [takes({"all": [one]}, seen) for one in questions]
    assert [takes({"any": [one]}, seen) for one in questions] == alone
    assert [not takes({"none": [one]}, seen) for one in questions] == alone


@given(groups, acquisitions)
def test_all_any_and_none_are_and_or_and_nor(questions, seen):
    alone = [takes({"all": [one]}, seen) for one in questions]
    assert takes({"all": questions}, seen) is all(alone)
    assert takes({"any": questions}, seen) is any(alone)
    assert takes({"none": questions}, seen) is not any(alone)


@given(groups, groups, groups, acquisitions)
def test_everything_given_must_hold(first, second, third, seen):
    whole = {"all": first, "any": second, "none": third}
    assert takes(whole, seen) is all(takes({name: part}, seen) for name, part in whole.items())


@given(groups, groups, acquisitions)
def test_a_route_takes_exactly_where_nothing_hinders(first, second, seen):
    (decision,) = decide(seen, [route({"all": first, "none": second})])
    assert (decision.outcome is Outcome.TAKEN) is not any(one.hinders for one in decision.findings)
    assert len(decision.findings) == len(first) + len(second)


@given(groups, acquisitions)
def test_more_values_never_lose_a_question_without_absence(questions, seen):
    """An image more can only add answers, but for `present: false`."""
    asked = [one for one in questions if one.get("present") is not False] or [QUESTIONS[0]]
    more = says(BodyPartExamined="ELBOW", ProtocolName="other", SliceThickness=9.0)
    both = Traits(
        {tag: seen.stated.get(tag, Stated()) | more.stated.get(tag, Stated()) for tag in seen.stated | more.stated},
        seen.stations,
        seen.field_strength_t,
        seen.echo_count,
    )
    for one in asked:
        assert takes({"all": [one]}, both) >= takes({"all": [one]}, seen)


# -- several routes


def named(*entries):
    return [route(match, name, order=order, onMatch=on_match) for name, order, on_match, match in entries]


def outcomes(routes, seen=None):
    return {one.route.name: str(one.outcome) for one in decide(seen or says(), routes)}


NEVER = {"stations": ["NOBODY"]}
ALWAYS = {"everything": True}


def test_the_first_that_stops_is_the_only_one_after_it():
    routes = named(("c", 3, "Stop", ALWAYS), ("a", 1, "Continue", ALWAYS), ("b", 2, "Stop", ALWAYS))
    assert outcomes(routes) == {"a": "Taken", "b": "Taken", "c": "NotAsked"}


def test_one_that_does_not_match_stops_nobody():
    assert outcomes(named(("a", 1, "Stop", NEVER), ("b", 2, "Stop", ALWAYS))) == {"a": "NotMatched", "b": "Taken"}


def test_a_paused_route_is_as_if_it_were_not_there():
    paused = route(ALWAYS, "a", order=1, paused=True)
    assert outcomes([paused, route(ALWAYS, "b", order=2)]) == {"a": "Paused", "b": "Taken"}


def test_equal_orders_are_asked_by_name():
    assert [one.name for one in in_order([route(name="b"), route(name="a"), route(name="c", order=1)])] == [
        "c",
        "a",
        "b",
    ]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["Stop", "Continue"]), st.booleans()), max_size=6),
    st.randoms(use_true_random=False),
)
def test_the_order_routes_are_given_in_does_not_matter(entries, chance: random.Random):
    routes = named(*((f"r{n}", order, on, ALWAYS if hit else NEVER) for n, (order, on, hit) in enumerate(entries)))
    direct = outcomes(routes)
    chance.shuffle(routes)
    assert outcomes(routes) == direct
    assert sum(1 for one in decide(says(), routes) if one.outcome is Outcome.TAKEN and one.route.takes_alone) <= 1


def test_only_attributes_that_are_asked_about_are_looked_at():
    assert asked_tags([route({"all": [QUESTIONS[0]], "none": [QUESTIONS[3]]}), route()]) == {0x00180015, 0x00180010}


# -- reasons


CANARY = "CANARY^PATIENT"


@given(groups)
def test_reasons_tell_the_question_and_never_what_an_image_says(questions):
    seen = says(BodyPartExamined=CANARY, ProtocolName=CANARY, SliceThickness=CANARY, ContrastBolusAgent=CANARY)
    for match in ({"all": questions}, {"any": questions}, {"none": questions}):
        (decision,) = decide(seen, [route(match)])
        assert decision.reason
        assert CANARY not in repr((decision.outcome, decision.reason, decision.findings))


def test_a_reason_names_field_and_attribute():
    (decision,) = decide(says(ContrastBolusAgent="x"), [route({"none": [QUESTIONS[3]]})])
    assert decision.reason == "match.none[0]: ContrastBolusAgent is there: is so, but may not be"
    (decision,) = decide(says(), [route({"all": [QUESTIONS[0]], "stations": ["A"]})])
    assert decision.reason == "match.stations: station or sender is A: is not so, and 1 more"


# -- what cannot be a route


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_every_example_is_a_route(file):
    assert Route.from_resource(yaml.safe_load(file.read_text())).name == file.stem


ELSEWHERE = {"route-clock-time", "route-time-zone", "route-window-without-length", "route-too-many-pipelines"}
"""What only the schema judges: it is handed on to the jobs, not decided with."""
REFUSED = [file for file in sorted((ROOT / "examples/refused").glob("route-*.yaml")) if file.stem not in ELSEWHERE]


@pytest.mark.parametrize("file", REFUSED, ids=lambda file: file.stem)
def test_what_the_schema_refuses_about_matching_is_refused_without_a_cluster_too(file):
    with pytest.raises(RouteError):
        Route.from_resource(yaml.safe_load(file.read_text()))


@pytest.mark.parametrize(
    ("match", "message"),
    [
        ({}, "everything: true"),
        ({"everything": False}, "everything: true"),
        ({"everything": True, "stations": ["A"]}, "stands alone"),
        ({"station": ["A"]}, r"spec\.match\.station is no field"),
        ({"stations": []}, "list of names"),
        ({"all": []}, "at least one criterion"),
        ({"all": ["x"]}, r"match\.all\[0\] must be a criterion"),
        (asks(attribute="ProtocolNam", equals=["x"]), "no DICOM keyword"),
        (asks(attribute="PatientName", present=True), "who the patient is"),
        (asks(attribute="0010,0020", present=True), "who the patient is"),
        (asks(attribute="ProtocolName"), "exactly one of"),
        (asks(attribute="ProtocolName", equals=["x"], present=True), "exactly one of"),
        (asks(attribute="ProtocolName", equals="x"), "list of texts"),
        (asks(attribute="ProtocolName", equals=[3]), "list of texts"),
        (asks(attribute="ProtocolName", pattern="(a"), "RE2 syntax: missing"),
        (asks(attribute="ProtocolName", pattern="(?=a)"), "RE2 syntax"),
        (asks(attribute="ProtocolName", present="yes"), "true or false"),
        (asks(attribute="EchoTime", range={}), "min or max"),
        (asks(attribute="EchoTime", range={"min": "4", "max": "3"}), "larger than max"),
        (asks(attribute="EchoTime", range={"min": "four"}), "number in quotes"),
        (asks(attribute="EchoTime", range={"min": True}), "number in quotes"),
        ({"echoCount": {"least": 3}}, r"match\.echoCount\.least is no field"),
    ],
)
def test_what_cannot_be_understood_is_refused_by_its_field(match, message):
    body = {
        "metadata": {"name": "x"},
        "spec": {
            "source": {"orthanc": {"connectionRef": {"name": "m"}}},
            "match": match,
            "pipelines": [{"name": "p"}],
        },
    }
    with pytest.raises(RouteError, match=message):
        Route.from_resource(body)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"order": "1"}, "order"),
        ({"onMatch": "stop"}, "Stop or Continue"),
        ({"paused": "yes"}, "true or false"),
        ({"pipelines": []}, "at least one pipeline"),
        ({"pipelines": [{"nam": "p"}]}, r"pipelines\[0\]\.nam is no field"),
        ({"pipelines": [{"name": "p", "parameters": [{"name": "a", "value": 3}]}]}, r"parameters\[0\]\.value"),
        ({"job": {"retries": 1}}, r"spec\.job\.retries is no field"),
        ({"destinations": {}}, "must be a list"),
        ({"destination": []}, r"spec\.destination is no field"),
        ({"source": {"orthanc": {}}}, "connectionRef is needed"),
    ],
)
def test_the_rest_of_a_route_is_looked_at_too(spec, message):
    with pytest.raises(RouteError, match=message):
        route(**spec)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["metadata", "name", "spec", "match", "all", "attribute", "pipelines", "source"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_document_is_a_route_or_refused(document):
    if isinstance(document, dict):
        with pytest.raises(RouteError):
            Route.from_resource(document)


def test_a_wild_pattern_takes_no_wild_time():
    assert not takes(asks(attribute="ProtocolName", pattern="(a*)*(a*)*b"), says(ProtocolName="a" * 5000))


def test_attributes_of_identity_are_those_the_schema_refuses():
    schema = (ROOT / "crds/qsmroutes.yaml").read_text()
    rule = schema[schema.index("!(self in [") :].split("])")[0]
    named = {word.strip(" \n'") for word in rule.split("[", 1)[1].split(",") if word.strip(" \n'").isalpha()}
    assert named == set(criteria._IDENTITY)


def test_the_example_of_the_documentation_is_a_match():
    (text,) = re.findall(r"```yaml\n(match:.*?)```", (ROOT / "docs/routes.md").read_text(), flags=re.DOTALL)
    seen = says(ProtocolName="T2*SWI tra (neu)", BodyPartExamined="", field_strength_t=2.89362)
    assert takes(yaml.safe_load(text)["match"], seen)
    assert not takes(yaml.safe_load(text)["match"], says(ProtocolName="swi", SeriesDescription="Phantom"))
