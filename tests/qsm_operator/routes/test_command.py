"""`qsm-operator route test` on real files: what it says, what it keeps to itself, how it ends."""

import json
from pathlib import Path

import pytest
import yaml
from scans_for_tests import uid, write_scan

from qsm_operator import command_line
from qsm_operator.resources.custom import ACQUISITION_LABEL
from qsm_operator.routes import orders

EXAMPLES = Path(__file__).resolve().parents[3] / "examples/routes"
CANARIES = ("CANARY", "19010203", "1.2.826.0.1.3680043.9.9999")


@pytest.fixture(scope="module")
def scan(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("CANARY^FOLDER")
    write_scan(folder, short=True)  # a canary in ContrastBolusAgent is a contrast agent
    return folder


@pytest.fixture
def told(capsys):
    """Run `route test`; exit code, standard output and standard error."""

    def run(*arguments):
        try:
            code = command_line.run(["route", "test", *(str(argument) for argument in arguments)])
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    return run


def route_file(folder: Path, match, **spec) -> Path:
    source = {"orthanc": {"connectionRef": {"name": "main-orthanc"}}}
    body = {
        "apiVersion": "qsm-operator.io/v1alpha1",
        "kind": "QSMRoute",
        "metadata": {"name": "mine"},
        "spec": {"source": source, "match": match, "pipelines": [{"name": "medi0-v1"}]} | spec,
    }
    (folder / "route.yaml").write_text(yaml.safe_dump(body))
    return folder / "route.yaml"


def test_the_first_route_takes_it_and_the_others_tell_why_not(told, scan):
    routes = [word for file in sorted(EXAMPLES.glob("*.yaml")) for word in ("--route", file)]
    code, out, err = told(*routes, scan)
    assert (code, err) == (0, "")
    assert "route clinical-brain: takes it" in out
    assert "match.all[0]: BodyPartExamined is 'BRAIN' or 'HEAD': yes (it is HEAD)" in out
    assert "route everything: is not asked, route clinical-brain took it alone" in out
    assert "route switched-off: is not asked, the route is paused" in out
    assert out.count("     job qsm-") == 1


def test_a_question_that_fails_is_marked(told, scan, tmp_path):
    match = {"all": [{"attribute": "MagneticFieldStrength", "range": {"min": "7"}}], "stations": ["MRC40534"]}
    _, out, _ = told("--route", route_file(tmp_path, match), scan)
    assert "route mine: does not match" in out
    assert "       - match.all[0]: MagneticFieldStrength is at least 7: no (it is 3.0)" in out
    assert "       + match.stations: station or sender is MRC40534: yes" in out
    assert "     no job" in out


def test_as_json_the_jobs_are_those_intake_makes(told, scan):
    code, out, _ = told("--json", "--route", EXAMPLES / "everything.yaml", scan)
    assert code == 0
    (usable,) = json.loads(out)["usable"]
    (job,) = usable["jobs"]
    assert usable["routes"][0]["outcome"] == "Taken"
    series = [uid(1, 1), uid(1, 2)]
    assert job["spec"]["source"]["orthanc"]["instances"]["count"] == 24
    assert job["metadata"]["labels"][ACQUISITION_LABEL] == orders.acquisition_key("main-orthanc", series)


def test_refused_images_are_told_with_their_reason(told, tmp_path):
    write_scan(tmp_path / "dicom", letters="M")
    (tmp_path / "dicom/CANARY.txt").write_text("notes")
    code, out, _ = told("--route", EXAMPLES / "everything.yaml", tmp_path / "dicom")
    assert code == 0
    assert "Nothing here can be reconstructed." in out
    assert "     NoPhase, 12 files" in out
    assert "     NotAnImage, 1 file" in out
    assert "CANARY" not in out


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_nothing_of_the_patient_is_printed(told, scan, tmp_path, form):
    match = {
        "any": [
            {"attribute": name, "pattern": ".*"}
            for name in ("SeriesDescription", "StudyDescription", "ReferringPhysicianName", "StudyDate", "PatientSex")
        ]
    }
    route = route_file(tmp_path, match)
    _, out, err = told(*form, "--route", route, scan)
    uids_of_the_job = out.count("seriesInstanceUIDs") * 2
    assert out.count(CANARIES[2]) == uids_of_the_job  # the job itself names its series, as it must
    assert not any(canary in out + err for canary in CANARIES[:2])


def test_free_text_is_shown_where_it_is_asked_for(told, scan, tmp_path):
    match = {"all": [{"attribute": "SeriesDescription", "pattern": ".*SERIES.*"}]}
    route = route_file(tmp_path, match)
    assert "CANARYSERIES M, CANARYSERIES P" in told("--show-values", "--route", route, scan)[1]


def test_control_letters_do_not_reach_the_terminal(told, tmp_path):
    write_scan(tmp_path / "dicom", ImageComments="a\x1b[31mred\nline")
    match = {"all": [{"attribute": "ImageComments", "present": True}]}
    _, out, _ = told("--show-values", "--route", route_file(tmp_path, match), tmp_path / "dicom")
    assert "a?[31mred?line" in out
    assert "\x1b" not in out


def test_routes_of_two_orthancs_do_not_compete(told, scan, tmp_path):
    first = route_file(tmp_path, {"everything": True})
    other = tmp_path / "other.yaml"
    other.write_text(first.read_text().replace("main-orthanc", "other-orthanc").replace("mine", "theirs"))
    _, out, _ = told("--route", first, "--route", other, scan)
    assert "route mine: takes it" in out
    assert "route theirs: takes it" in out
    assert out.count("     job qsm-") == 2


def test_several_documents_in_one_file_and_other_kinds_beside_them(told, scan, tmp_path):
    file = tmp_path / "all.yaml"
    texts = [
        (EXAMPLES / "everything.yaml").read_text(),
        "kind: ConfigMap\n",
        (EXAMPLES / "asked-first.yaml").read_text(),
    ]
    file.write_text("\n---\n".join(texts))
    _, out, _ = told("--route", file, scan)
    assert "route everything" in out
    assert "route asked-first" in out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [", "is no YAML, line"),
        ("kind: ConfigMap", "no QSMRoute in"),
        ("kind: QSMRoute\napiVersion: v1", "apiVersion must be qsm-operator.io/v1alpha1"),
        ("kind: QSMRoute\napiVersion: qsm-operator.io/v1alpha1", "needs metadata and spec"),
    ],
)
def test_a_route_that_cannot_be_understood_ends_with_78(told, scan, tmp_path, content, message):
    file = tmp_path / "route.yaml"
    file.write_text(content)
    code, out, err = told("--route", file, scan)
    assert (code, out) == (78, "")
    assert message in err


def test_a_misspelt_field_is_named(told, scan, tmp_path):
    code, _, err = told("--route", route_file(tmp_path, {"staions": ["A"]}), scan)
    assert code == 78
    assert "spec.match.staions is no field of a QSMRoute" in err


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--route", EXAMPLES / "everything.yaml"),
        ("--route", EXAMPLES / "everything.yaml", "/nowhere"),
        ("--route", "/nowhere.yaml", "/"),
        ("--rout", EXAMPLES / "everything.yaml", "/nowhere"),
    ],
)
def test_wrong_usage_ends_with_64(told, arguments):
    code, out, err = told(*arguments)
    assert (code, out) == (64, "")
    assert err


def test_real_scanner_data_finds_its_route(told, shared_data, tmp_path):
    match = {"fieldStrengthTesla": {"min": "2.8"}, "echoCount": {"min": 6}}
    code, out, _ = told("--route", route_file(tmp_path, match), shared_data / "siemens_prisma_6echo_phantom/dicom")
    assert code == 0
    assert "route mine: takes it" in out
