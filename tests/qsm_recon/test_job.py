"""The pod's half of the contract, through the real command line in this process."""

import json
import shutil
from dataclasses import replace

import pytest
from pydicom import dcmread

from qsm_operator.metrics.labels import STAGES
from qsm_recon import job
from qsm_recon.__main__ import run
from qsm_recon.recipes import load
from qsm_recon.request import S3Place
from qsm_recon.simulation import make_phantom, protocol
from qsm_recon.simulation.vendors import VENDORS
from qsm_recon.termination import MAX_BYTES, encoded

S3 = {"connection": "/no/such/secret", "uri": "s3://bucket/prefix"}
ORTHANC = {"connection": "/no/such/secret", "seriesInstanceUIDs": ["1.2.3"]}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("claim") / "scan"
    coarse = replace(protocol("small"), shape=(48, 56, 40), voxel_size_mm=(4.0, 4.0, 3.6))
    VENDORS["siemens"](make_phantom(coarse, seed=5).measurement, folder)
    return folder


def recipe():
    values = load("medi0-v1").config.model_dump(mode="json", by_alias=True)
    values["inversion"] = {"method": "tkd"}
    values["masking"]["volume_low_l"] = 0.3
    return values


@pytest.fixture
def ask(monkeypatch, tmp_path, images):
    log = tmp_path / "termination-log"
    log.touch()
    monkeypatch.setenv("QSM_TERMINATION_LOG", str(log))

    def ask(uid="u-1", out="out", **changes):
        request = {
            "version": 1,
            "job": {"namespace": "n", "name": "j", "uid": uid, "attempt": 1},
            "source": {"volume": {"directory": str(images)}},
            "pipeline": {"name": "p", "version": "1", "hash": "h", "image": "i", "recipe": recipe(), "parameters": []},
            "destinations": [{"name": "results", "volume": {"directory": str(tmp_path / out)}}],
            "device": "cpu",
            "scratch": str(tmp_path / "scratch"),
            "cleanup": "OnSuccess",
        }
        request.update(changes)
        monkeypatch.setenv("QSM_REQUEST", json.dumps(request))
        code = run(["job", "--quiet"])
        return code, json.loads(log.read_text() or "{}")

    return ask


def test_a_request_becomes_a_delivered_result_and_a_report(ask, tmp_path):
    code, report = ask(
        destinations=[{"name": name, "volume": {"directory": str(tmp_path / name)}} for name in ("results", "second")],
    )
    assert code == 0
    assert {(o["kind"], o["destination"], o["instances"]) for o in report["outputs"]} == {
        (kind, place, 40) for kind in ("ChiMap", "R2StarMap") for place in ("results", "second")
    }
    assert report["stageSeconds"]["inversion"] > 0
    without = {"identify", "settle"}  # there is no store
    assert list(report["stageSeconds"]) == [stage for stage in STAGES if stage not in without]
    assert "store" not in report
    assert report["metrics"]["mask_volume_ml"] > 500
    assert report["scanner"].startswith("siemens ")
    for place in ("results", "second"):
        assert len(list((tmp_path / place / "dicom" / "chi").iterdir())) == 40
    assert not any((tmp_path / "scratch").iterdir())


def test_a_second_attempt_finds_the_result_and_does_nothing_again(ask, tmp_path):
    assert ask()[0] == 0
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*")}
    code, again = ask(source={"volume": {"directory": str(tmp_path / "gone")}})
    assert code == 0
    assert again["outputs"][0]["kind"] == "ChiMap"
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*")} == before


def test_another_jobs_result_is_never_touched(ask, tmp_path):
    assert ask()[0] == 0
    code, report = ask(uid="u-2")
    assert (code, report["reason"]) == (65, "DestinationOccupied")
    assert json.loads((tmp_path / "out" / "job.json").read_text())["job"]["uid"] == "u-1"


def test_parameters_change_the_recipe(ask):
    code, report = ask(
        pipeline={"name": "p", "recipe": recipe(), "parameters": [{"name": "inversion.threshold", "value": "-1"}]}
    )
    assert (code, report["reason"], report["step"]) == (78, "InvalidRecipe", "fetch")
    assert "inversion" in report["message"]


@pytest.mark.parametrize(
    ("change", "code", "reason", "says"),
    [
        ({"version": 2}, 78, "InvalidRequest", "version"),
        ({"surprise": 1}, 78, "InvalidRequest", "surprise"),
        ({"source": {"orthanc": {}}}, 78, "InvalidRequest", "source"),
        ({"source": {}}, 78, "InvalidRequest", "exactly one of volume, orthanc, s3"),
        ({"source": {"volume": {"directory": "/d"}, "s3": S3}}, 78, "InvalidRequest", "exactly one"),
        ({"source": {"orthanc": {**ORTHANC, "seriesInstanceUIDs": []}}}, 78, "InvalidRequest", "seriesInstanceUIDs"),
        ({"source": {"orthanc": {**ORTHANC, "seriesInstanceUIDs": ["1.2*"]}}}, 78, "InvalidRequest", "pattern"),
        ({"source": {"orthanc": ORTHANC}}, 78, "InvalidConnection", "Secret is not mounted"),
        ({"source": {"s3": S3}}, 78, "InvalidConnection", "Secret is not mounted"),
        ({"destinations": [{"name": "a"}]}, 78, "InvalidRequest", "exactly one"),
        ({"destinations": [{"name": "a", "s3": S3}]}, 78, "InvalidConnection", "Secret is not mounted"),
        ({"destinations": [{"name": "a", "peer": {"connection": "/c"}}]}, 78, "InvalidRequest", "peer.name"),
        ({"destinations": [{"name": "a", "volume": {"directory": "/d", "seriesInstanceUIDs": []}}]}, 78,
         "InvalidRequest", "seriesInstanceUIDs"),
        ({"interimData": {"connection": "/c", "uri": "/not/s3"}}, 78, "InvalidRequest", "interimData"),
        ({"device": "gpu"}, 69, "DeviceUnavailable", "CUDA"),
        ({"source": {"volume": {"directory": "/no/such/folder"}}}, 75, "SourceMissing", "source folder"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_leaves_reason_and_code(ask, tmp_path, change, code, reason, says):
    found, report = ask(**change)
    assert (found, report["reason"]) == (code, reason)
    assert says in report["message"]
    assert not (tmp_path / "out").exists()


def test_unusable_images_are_refused_with_their_own_reason(ask, images, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(images, broken)
    next(p for p in broken.rglob("*") if p.is_file()).unlink()
    code, report = ask(source={"volume": {"directory": str(broken)}})
    assert (code, report["reason"], report["step"]) == (65, "Incomplete", "read")


@pytest.fixture
def two_scans(images, tmp_path):
    """The scan, and beside it the same under other UIDs."""
    folder = tmp_path / "two"
    shutil.copytree(images, folder / "a")
    shutil.copytree(images, folder / "b")
    for path in (p for p in (folder / "b").rglob("*") if p.is_file()):
        ds = dcmread(path)
        for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"):
            setattr(ds, keyword, f"{ds[keyword].value[:60]}.7")
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        ds.save_as(path)
    files = (p for p in (folder / "b").rglob("*") if p.is_file())
    return folder, sorted({str(dcmread(p, specific_tags=["SeriesInstanceUID"]).SeriesInstanceUID) for p in files})


def test_series_named_in_a_volume_are_taken_and_the_others_left(ask, tmp_path, two_scans):
    folder, uids = two_scans
    code, report = ask(source={"volume": {"directory": str(folder)}})
    assert (code, report["reason"], report["step"]) == (65, "SeveralAcquisitions", "read")
    code, report = ask(source={"volume": {"directory": str(folder), "seriesInstanceUIDs": [*uids, "1.2.3"]}})
    assert (code, report["reason"]) == (75, "SeriesMissing")
    code, report = ask(source={"volume": {"directory": str(folder), "seriesInstanceUIDs": uids}})
    assert (code, report["warnings"]) == (0, [])
    made = dcmread(next((tmp_path / "out" / "dicom" / "chi").iterdir()))
    assert {one.SeriesInstanceUID for one in made.ReferencedSeriesSequence} == set(uids)


def test_a_folder_that_is_in_the_way_harms_no_other_destination(ask, tmp_path):
    (tmp_path / "taken").mkdir()
    places = [{"name": name, "volume": {"directory": str(tmp_path / name)}} for name in ("taken", "free")]
    code, report = ask(destinations=places)
    assert (code, report["reason"], report["step"]) == (65, "DeliveryFailed", "deliver")
    assert [(one["destination"], one["state"], one.get("reason", "")) for one in report["deliveries"]] == [
        ("taken", "Failed", "DestinationOccupied"),
        ("free", "Delivered", ""),
    ]
    assert {one["destination"] for one in report["outputs"]} == {"free"}
    assert not any((tmp_path / "taken").iterdir())


def test_without_a_request_it_says_who_starts_it(monkeypatch, capsys):
    monkeypatch.delenv("QSM_REQUEST", raising=False)
    assert run(["job"]) == 78
    assert "operator" in capsys.readouterr().err


def test_report_always_fits_and_keeps_what_matters():
    report = {
        "outputs": [{"kind": "ChiMap", "seriesInstanceUID": "2.25." + "1" * 39}] * 4,
        "metrics": {f"m{n}": 1.0 for n in range(50)},
        "stageSeconds": {f"s{n}": 1.0 for n in range(12)},
        "warnings": ["Code: " + "x" * 300] * 60,
    }
    text = encoded(report)
    assert len(text) <= MAX_BYTES
    kept = json.loads(text)
    assert kept["outputs"] == report["outputs"]
    assert kept["metrics"] == report["metrics"]
    assert 0 < len(kept["warnings"]) < 60


def test_report_is_whole_json_even_where_what_matters_is_too_long():
    """Cut bytes would be no JSON: the operator would then take a success for a failure."""
    many = {"outputs": [{"kind": "ChiMap", "destination": "d" * 60, "seriesInstanceUID": "2.25." + "1" * 39}] * 40}
    kept = json.loads(encoded(many))["outputs"]
    assert 0 < len(kept) < 40
    foreign = json.loads(encoded({"reason": "Incomplete", "message": "χ" * 1024, "step": "read"}))
    assert foreign["reason"] == "Incomplete"
    assert set(foreign["message"]) == {"χ"}


def test_what_was_delivered_is_told_before_anything_else():
    uid = "2.25." + "1" * 39
    outputs = [{"kind": k, "destination": f"d{n}", "seriesInstanceUID": uid} for k in ("C", "R") for n in range(8)]
    deliveries = [{"destination": f"d{n}", "state": "Failed", "reason": "R", "message": "m" * 300} for n in range(8)]
    kept = json.loads(encoded({"outputs": outputs, "deliveries": deliveries, "warnings": ["x" * 900] * 9}))
    assert [one["state"] for one in kept["deliveries"]] == ["Failed"] * 8
    assert kept["outputs"] == outputs


def test_memory_that_does_not_suffice_is_reported_as_such(ask, monkeypatch):
    """The operator gives the next attempt more of it only where the report says so."""

    def exhausted(*_args, **_kwargs):
        raise MemoryError

    monkeypatch.setattr(job.app, "run", exhausted)
    code, report = ask()
    assert (code, report["reason"]) == (75, "OutOfMemory")


@pytest.mark.parametrize("uri", ["s3://bucket", "s3://bucket/scans/sessions", "s3://a.b-c/x/y.z"])
def test_any_prefix_the_api_takes_is_taken(uri):
    assert S3Place(connection="/c", uri=uri).uri == uri


@pytest.mark.parametrize("uri", ["s3://bucket/with space", "s3://bucket/a?b", "s3://Bucket/a", "http://bucket"])
def test_no_other_is(uri):
    with pytest.raises(ValueError, match="uri"):
        S3Place(connection="/c", uri=uri)
