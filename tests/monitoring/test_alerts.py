"""Each alert fires when its fault is there, and none on a healthy day."""

import random

import pytest
from promtool_for_tests import ROOT, alerts, fired, rules
from site_for_tests import DAY, HOUR, MINUTE, SCANNERS, Site, replay

from qsm_operator.controller.accounting import STORE_REASONS


def after(hour, **broken):
    """From that hour of the day on."""

    def happens(site):
        if site.now >= hour * HOUR:
            for name, value in broken.items():
                setattr(site, name, value)

    return happens


def forgotten(site):
    """Half an acquisition came at seven, and nothing more."""
    site.half_acquisition_since = HOUR if site.now >= HOUR else None


def certificate(site):
    site.certificate_ends = site.now + 10 * DAY


def fills(series, hours):
    """What MinIO says of itself where it is scraped as well: a tenth less free each day."""
    steps = int(hours * 60)
    series["minio_cluster_capacity_usable_free_bytes", ()] = [5e12 * (1 - 0.2 * n / 1440) for n in range(steps)]


REFUSES = {SCANNERS[1]: 0.9}
SCENARIOS = {
    # what happens: (hours from six in the morning on, the fault, alerts that must fire, alerts that may)
    "a state nobody leaves": (3, after(2, stands="New"), {"QSMJobStuck"}, set()),
    "pods that hang": (6.5, after(1.5, stands="Running"), {"QSMJobStuck"}, set()),
    "reconstructions fail": (4, after(1, failed_share=0.6), {"QSMFailureRateHigh"}, set()),
    "everything is slow": (
        5,
        after(2, extra_seconds=900),
        {"QSMLatencyBudgetBurnsFast"},
        {"QSMQueueGrows", "QSMLatencyBudgetBurnsSlowly"},
    ),
    "no GPU": (4, after(1, gpu=False), {"QSMNoGPU", "QSMQueueGrows"}, {"QSMLatencyBudgetBurnsFast"}),
    "GPU lost again and again": (5, after(1, fallback_share=0.9), {"QSMFallbacksFrequent"}, set()),
    "half an acquisition": (3, forgotten, {"QSMAcquisitionStuck"}, set()),
    "a scanner's protocol was changed": (5, after(2, refused_share=REFUSES), {"QSMRefusalsUp"}, set()),
    "intake reads no more": (2, after(1, intake_reads=False), {"QSMIntakeBlind"}, set()),
    "Orthanc is away": (2, after(1, orthanc_up=False), {"QSMOrthancUnreachable", "QSMIntakeBlind"}, set()),
    "intake is gone": (2, after(1, intake_up=False), {"QSMIntakeSilent"}, set()),
    "forged hints": (2, after(1, hints_forged=True), {"QSMHintsRejected"}, set()),
    "the PACS is away": (4, after(1.5, pacs="down"), {"QSMDeliveryBacklog"}, set()),
    "the PACS refuses": (3, after(1.5, pacs="refuses"), {"QSMDeliveryFailed"}, set()),
    "the store is away": (3, after(1, store_reason="StoreUnreachable"), {"QSMStoreFailing"}, set()),
    "the store is full": (3, after(1, store_reason="StoreFull"), {"QSMStoreFull"}, set()),
    "the store fills": (3, after(5), {"QSMStoreFills"}, set()),
    "the operator is gone": (2, after(1, operator_up=False), {"QSMOperatorSilent"}, set()),
    "the operator is slow": (2, after(1, stuck_queue=True), {"QSMOperatorBehind"}, set()),
    "a defect": (2, after(1, defects=True), {"QSMOperatorDefect"}, set()),
    "the API server is away": (2.5, after(1, api_up=False), {"QSMKubernetesRefuses", "QSMOperatorSilent"}, set()),
    "a certificate ends": (1, certificate, {"QSMCredentialEnds"}, set()),
}


@pytest.mark.e2e
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_fault_and_its_alert(name, tmp_path):
    hours, happens, must, may = SCENARIOS[name]
    series = replay(Site(scans_per_hour=8), hours, happens)
    if name == "the store fills":
        fills(series, hours)
    found = fired(tmp_path, series, hours)
    assert must <= found
    assert found <= must | may


@pytest.mark.e2e
def test_a_healthy_day_is_silent(tmp_path):
    assert fired(tmp_path, replay(Site(), 24), 24) == set()


@pytest.mark.e2e
def test_a_restart_is_no_alert(tmp_path):
    """Both programs go for two minutes at ten and come back with empty counters."""
    before = replay(Site(seed=3), 4)
    later = replay(Site(seed=4, now=4 * HOUR + 2 * MINUTE), 2)
    series = {}
    for sample in before.keys() | later.keys():
        series[sample] = before.get(sample, [None] * 240) + [None] * 2 + later.get(sample, [None] * 120)
    assert fired(tmp_path, series, 6) == set()


@pytest.mark.e2e
def test_no_image_for_days(tmp_path):
    series = replay(Site(), 110, after(10, scanners_off=True), step=5 * MINUTE)
    assert fired(tmp_path, series, 110, "5m") == {"QSMNoImages"}


@pytest.mark.e2e
def test_a_slow_burn(tmp_path):
    def every_sixth(site):
        site.extra_seconds = 700 if site.random.random() < 0.15 else 0

    found = fired(tmp_path, replay(Site(), 80, every_sixth, step=3 * MINUTE), 80, "3m")
    assert "QSMLatencyBudgetBurnsSlowly" in found
    assert found <= {"QSMLatencyBudgetBurnsSlowly", "QSMLatencyBudgetBurnsFast"}  # chance makes a bad hour, too


def maps_of_weeks(days, shift_from=None):
    """Quality of a scanner that makes eight maps a day, and of one that never changes."""
    rng = random.Random(11)  # noqa: S311 - figures, no secret
    series = {}
    usual = {
        "qsm_quality_phase_residual_ratio": (1.05, 0.04),
        "qsm_quality_mask_volume_ml": (1350, 110),
        "qsm_quality_csf_found": (1, 0),
        "qsm_quality_reference_mean_ppb": (-12, 4),
        "qsm_quality_field_noise_ppb": (2.4, 0.2),
    }
    steps = int(days * DAY / 180)
    for scanner in SCANNERS[:2]:
        labels = (("pipeline", "medi0-v1"), ("scanner", scanner))
        for name, (mean, spread) in usual.items():
            values, value = [], mean
            for step in range(steps):
                hour = step * 180 / HOUR % 24
                if 8 <= hour < 16 and step % 20 == 0:
                    value = rng.gauss(mean, spread)
                    is_late = shift_from is not None and step * 180 / DAY >= shift_from
                    if is_late and scanner == SCANNERS[0] and name == "qsm_quality_reference_mean_ppb":
                        value += 15
                values.append(value)
            series[name, labels] = values
    return series


@pytest.mark.e2e
def test_quality_drifts(tmp_path):
    assert fired(tmp_path, maps_of_weeks(20, shift_from=16), 20 * 24, "3m") == {"QSMQualityDrift"}


@pytest.mark.e2e
def test_weeks_without_drift_are_silent(tmp_path):
    assert fired(tmp_path, maps_of_weeks(20), 20 * 24, "3m") == set()


def covered():
    found = set().union(*(must for _, _, must, _ in SCENARIOS.values()))
    return found | {"QSMNoImages", "QSMLatencyBudgetBurnsSlowly", "QSMQualityDrift"}


def test_every_alert_has_a_fault_that_fires_it():
    assert covered() == set(alerts())


@pytest.mark.parametrize("name", alerts())
def test_an_alert_tells_what_to_do(name):
    rule = alerts()[name]
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{name}.md"
    page = (ROOT / "docs/runbooks" / f"{name}.md").read_text()
    for part in ("What it means", "First", "Causes", "It is over when"):
        assert f"## {part}" in page, part


def test_no_runbook_without_its_alert():
    assert {page.stem for page in (ROOT / "docs/runbooks").glob("QSM*.md")} == set(alerts())


def test_recorded_names_say_level_metric_operation():
    for rule in rules():
        assert "alert" in rule or rule["record"].count(":") == 2


def test_reasons_of_the_store_are_those_of_the_alerts():
    said = " ".join(str(rule["expr"]) for rule in rules())
    assert "StoreFull".startswith(STORE_REASONS)
    assert 'reason="StoreFull"' in said
