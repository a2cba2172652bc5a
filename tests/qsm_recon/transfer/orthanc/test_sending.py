"""Orthanc's jobs are judged by their state alone, watched with a clock, and repeated a bounded number of times."""

import json

import pytest
from misbehaving_http import as_json, page, text

from qsm_recon.errors import ReconError
from qsm_recon.transfer.deliveries import Commitment, Delivery, State
from qsm_recon.transfer.orthanc import sending
from qsm_recon.transfer.orthanc.haste import Haste
from qsm_recon.transfer.orthanc.series import Instance, Series

QUICK = Haste(poll_s=0.01, stalled_s=0.5, whole_s=60.0, tries=2, pause_s=0.01, count_s=0.1, commitment_s=0.2)
UIDS = ("1.2.1", "1.2.2", "1.2.3")
SERIES = (Series("s", "1.2", tuple(Instance(f"i{n}", uid, 1) for n, uid in enumerate(UIDS))),)
FORBIDDEN = {"AllowFind": False, "AllowNAction": False}


def job_is(state, code=0, progress=0):
    return as_json({"State": state, "ErrorCode": code, "Progress": progress, "ErrorDetails": "MILLER^ANNE"})


def found(*uids):
    return as_json([{"SOPInstanceUID": uid, "PatientName": "MILLER^ANNE"} for uid in uids])


def committed(*failures):
    return as_json(
        {
            "Status": "Failure" if failures else "Success",
            "Success": [{"SOPInstanceUID": uid} for uid in UIDS if uid not in dict(failures)],
            "Failures": [{"SOPInstanceUID": uid, "FailureReason": reason} for uid, reason in failures],
        }
    )


@pytest.fixture
def orthanc(server):
    """A modality that takes everything and cannot be asked; change `server.answers` for another."""
    server.answers = {
        "/modalities/pacs/store": [as_json({"ID": "j"})],
        "/modalities/pacs/configuration": [as_json(FORBIDDEN)],
        "/modalities/pacs/query": [as_json({"ID": "q"})],
        "/modalities/pacs/storage-commitment": [as_json({"ID": "t"})],
        "/modalities": [as_json(["pacs"])],
        "/queries/q": [found(*UIDS)],
        "/series/s/study": [as_json({"MainDicomTags": {"StudyInstanceUID": "1"}})],
        "/storage-commitment/t": [committed()],
        "/jobs/j": [job_is("Success")],
    }
    return server


def send(door, **so_far):
    return sending.send(door, "modality", "pacs", SERIES, Delivery("d", State.PENDING, **so_far), QUICK)


def posted(server, route):
    return sum(1 for method, path in server.asked if method == "POST" and path == route)


def test_a_success_that_cannot_be_asked_is_believed(orthanc, door):
    told = "all were sent without an error, the receiver cannot be asked what it has"
    assert send(door) == Delivery("d", State.DELIVERED, 3, None, message=told, sent=True)


def test_a_failure_is_repeated_then_pending(orthanc, door):
    orthanc.answers["/jobs/j"] = [job_is("Failure", 9), job_is("Success")]
    assert send(door).state is State.DELIVERED
    assert posted(orthanc, "/modalities/pacs/store") == 2
    orthanc.answers["/jobs/j"] = [job_is("Failure", 9)]
    with pytest.raises(ReconError) as failed:
        send(door)
    assert (failed.value.reason, failed.value.exit_code) == ("ReceiverUnavailable", 75)
    assert posted(orthanc, "/modalities/pacs/store") == 2 + QUICK.tries
    assert "MILLER" not in failed.value.message


@pytest.mark.parametrize("code", [2, 2015])
def test_a_refusal_is_not_repeated(orthanc, door, code):
    orthanc.answers["/jobs/j"] = [job_is("Failure", code)]
    with pytest.raises(ReconError) as failed:
        send(door)
    assert (failed.value.reason, failed.value.exit_code) == ("ReceiverRefuses", 65)
    assert posted(orthanc, "/modalities/pacs/store") == 1


@pytest.mark.parametrize(
    ("status", "reason"),
    [(0xA700, "ReceiverUnavailable"), (0xA900, "ReceiverRefuses"), (0xC123, "ReceiverRefuses"),
     (0x0122, "ReceiverRefuses"), (0x0124, "ReceiverRefuses")],
)  # fmt: skip
@pytest.mark.parametrize("newer", [False, True])
def test_what_the_receiver_answers_to_c_store_decides(orthanc, door, status, reason, newer):
    sentence = f'C-STORE SCU to AET "MILLER" has failed with DIMSE status 0x{status:04X}'
    told = {"State": "Failure", "ErrorCode": 9, "Progress": 25, "ErrorDetails": "" if newer else sentence}
    orthanc.answers["/jobs/j"] = [as_json(told | ({"DimseErrorStatus": status} if newer else {}))]
    with pytest.raises(ReconError) as failed:
        send(door)
    assert failed.value.reason == reason
    assert f"{status:#06x}" in failed.value.message
    assert "MILLER" not in failed.value.message


def test_a_job_that_moves_is_left_alone_and_one_that_hangs_is_cancelled(orthanc, door):
    orthanc.answers["/jobs/j"] = [*(job_is("Running", progress=n) for n in range(40)), job_is("Success")]
    assert send(door).state is State.DELIVERED
    orthanc.answers["/jobs/j"] = [job_is("Running", progress=50)]
    with pytest.raises(ReconError) as failed:
        send(door)
    assert (failed.value.reason, failed.value.exit_code) == ("ReceiverHangs", 75)
    assert posted(orthanc, "/jobs/j/cancel") == 1


def test_a_job_that_orthanc_forgot_is_done_again(orthanc, door):
    orthanc.answers["/jobs/j"] = [text(404, ""), job_is("Success")]
    assert send(door).state is State.DELIVERED
    assert posted(orthanc, "/modalities/pacs/store") == 2


@pytest.mark.parametrize("answer", [page(), as_json([]), as_json({"State": "Success"})])
def test_garbage_about_a_job_is_no_success(orthanc, door, answer):
    orthanc.answers["/jobs/j"] = [answer]
    with pytest.raises(ReconError) as failed:
        send(door)
    assert failed.value.reason == "UnexpectedAnswer"


def test_an_unknown_receiver_is_not_sent_to(orthanc, door):
    orthanc.answers["/modalities"] = [as_json(["other"])]
    with pytest.raises(ReconError) as failed:
        send(door)
    assert (failed.value.reason, failed.value.exit_code) == ("ReceiverUnknown", 65)


def test_what_is_found_counts_and_what_lacks_is_sent_once_more(orthanc, door):
    orthanc.answers["/modalities/pacs/configuration"] = [as_json({"AllowNAction": False})]
    orthanc.answers["/queries/q"] = [found(*UIDS[:2])] * 20 + [found(*UIDS)]
    sent_again = []
    orthanc.answers["/modalities/pacs/store"] = [
        lambda h: (sent_again.append(json.loads(h.body)), as_json({"ID": "j"})(h))
    ]
    delivery = send(door)
    assert (delivery.state, delivery.reason) in {(State.DELIVERED, ""), (State.FAILED, "ReceivedFewer")}
    assert [one["Resources"] for one in sent_again] == [["s"], ["i2"]]


def test_half_is_not_delivered(orthanc, door):
    orthanc.answers["/modalities/pacs/configuration"] = [as_json({"AllowNAction": False})]
    orthanc.answers["/queries/q"] = [found(UIDS[0], "1.2.999")]
    delivery = send(door)
    assert (delivery.state, delivery.reason, delivery.instances) == (State.FAILED, "ReceivedFewer", 1)


def test_nothing_found_yet_is_waited_for_without_sending_again(orthanc, door):
    orthanc.answers["/modalities/pacs/configuration"] = [as_json({"AllowNAction": False})]
    orthanc.answers["/queries/q"] = [found()]
    delivery = send(door)
    assert (delivery.state, delivery.reason, delivery.sent) == (State.PENDING, "NotFoundThere", True)
    orthanc.answers["/queries/q"] = [found(*UIDS)]
    assert send(door, sent=True).state is State.DELIVERED
    assert posted(orthanc, "/modalities/pacs/store") == 1


@pytest.mark.parametrize(
    ("answers", "state", "commitment", "reason"),
    [
        ([committed()], State.DELIVERED, Commitment.CONFIRMED, ""),
        ([committed(("1.2.2", 0x0112)), committed()], State.DELIVERED, Commitment.CONFIRMED, ""),
        ([committed(("1.2.2", 0x0112))], State.PENDING, Commitment.FAILED, "CommitmentFailed"),
        ([committed(("1.2.2", 0x0122))], State.FAILED, Commitment.FAILED, "CommitmentFailed"),
        ([as_json({"Status": "Pending"})], State.PENDING, None, "CommitmentOverdue"),
        ([text(404, "")], State.PENDING, None, "CommitmentOverdue"),
    ],
)
def test_commitment(orthanc, door, answers, state, commitment, reason):
    orthanc.answers["/modalities/pacs/configuration"] = [as_json({})]
    orthanc.answers["/storage-commitment/t"] = answers
    delivery = send(door)
    assert (delivery.state, delivery.commitment, delivery.reason) == (state, commitment, reason)


@pytest.mark.parametrize(
    ("answer", "state", "commitment"),
    [
        (as_json({"OrthancStatus": 2015}, 500), State.DELIVERED, Commitment.NOT_SUPPORTED),
        (text(404, ""), State.DELIVERED, Commitment.NOT_SUPPORTED),
        (as_json({"OrthancStatus": 9}, 500), State.PENDING, None),
    ],
)
def test_commitment_that_cannot_be_asked_for(orthanc, door, answer, state, commitment):
    orthanc.answers["/modalities/pacs/configuration"] = [as_json({})]
    orthanc.answers["/modalities/pacs/storage-commitment"] = [answer]
    delivery = send(door)
    assert (delivery.state, delivery.commitment) == (state, commitment)


def test_names_are_quoted_in_routes(server, door):
    server.answers = {
        "/peers/a%2Fb%20c/store": [as_json({"ID": "j"})],
        "/peers": [as_json(["a/b c"])],
        "/jobs/j": [job_is("Success")],
    }
    delivery = sending.send(door, "peer", "a/b c", SERIES, Delivery("d", State.PENDING), QUICK)
    assert delivery.state is State.DELIVERED
    assert "cannot be asked" in delivery.as_dict()["message"]
