"""The name of a device tells devices apart and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qsm_acquisition.frames import Vendor
from qsm_acquisition.scanners import scanner_of

CANARY = "KANARIEN^VOGEL"


@pytest.mark.parametrize(
    ("vendor", "model", "shown"),
    [
        (Vendor.SIEMENS, "Prisma_fit", "siemens Prisma Fit #"),
        (Vendor.SIEMENS, "MAGNETOM Prisma Fit", "siemens Prisma Fit #"),
        (Vendor.SIEMENS, "Prisma", "siemens Prisma #"),
        (Vendor.SIEMENS, "TrioTim", "siemens TrioTim #"),
        (Vendor.PHILIPS, "Ingenia Elition X", "philips Ingenia Elition X #"),
        (Vendor.PHILIPS, "Achieva dStream", "philips Achieva dStream #"),
        (Vendor.GE, "SIGNA Architect", "ge Signa Architect #"),
        (Vendor.GE, "DISCOVERY MR750w", "ge Discovery MR750w #"),
        (Vendor.UIH, "uMR 770", "uih uMR 770 #"),
    ],
)
def test_models_as_scanners_write_them(vendor, model, shown):
    assert scanner_of(vendor, model, "35062")[:-4] == shown


def test_two_devices_of_one_model_are_two():
    assert scanner_of(Vendor.GE, "SIGNA Premier", "1") != scanner_of(Vendor.GE, "SIGNA Premier", "2")
    assert scanner_of(Vendor.GE, "SIGNA Premier", "1") == scanner_of(Vendor.GE, "SIGNA Premier", " 1 ")


def test_without_a_device_the_model_alone():
    assert scanner_of(Vendor.SIEMENS, "Skyra", "") == "siemens Skyra"


def test_a_model_we_do_not_know_is_a_hash():
    one, other = scanner_of(Vendor.SIEMENS, "Nova", ""), scanner_of(Vendor.SIEMENS, "Supernova", "")
    assert one.startswith("siemens #")
    assert one != other


@pytest.mark.parametrize("vendor", list(Vendor))
def test_canaries_do_not_come_through(vendor):
    said = scanner_of(vendor, f"Prisma {CANARY}", CANARY)
    assert "KANARIEN" not in said
    assert "VOGEL" not in said


@given(st.sampled_from(list(Vendor)), st.text(max_size=300), st.text(max_size=80))
def test_whatever_stands_there_it_is_a_short_plain_name(vendor, model, device):
    said = scanner_of(vendor, model, device)
    assert said.isascii()
    assert 0 < len(said) <= 40
    assert said == scanner_of(vendor, model, device)
