"""A name for the device that made the images, for statistics: vendor, model, and a short hash of the device.

Free text of a header never comes through: of the model only words of the list below are shown, and serial number and
station name only decide a hash of 16 bits. Two devices of one model are told apart, and none can be looked up.
"""

import hashlib
import re

from qsm_acquisition.frames import Vendor

_MODELS: dict[Vendor, tuple[str, ...]] = {
    Vendor.SIEMENS: (
        "Prisma Fit",
        *("Prisma", "Skyra Fit", "Skyra", "Vida Fit", "Vida", "Lumina", "Verio", "TrioTim", "Trio", "Connectom"),
        *("Aera", "Avanto Fit", "Avanto", "Espree", "Essenza", "Symphony", "Sola Fit", "Sola", "Altea", "Amira"),
        *(
            "Sempra",
            "Spectra",
            "Allegra",
            "Terra",
            "Cima",
            "Free Max",
            "Free Star",
            "Flow",
            "Biograph mMR",
            "Investigational",
        ),
    ),
    Vendor.PHILIPS: (
        *("Achieva dStream", "Achieva", "Ingenia Elition X", "Ingenia Elition", "Ingenia Ambition X"),
        *(
            "Ingenia Ambition",
            "Ingenia CX",
            "Ingenia",
            "Intera",
            "Multiva",
            "Prodiva",
            "Ingenuity",
            "MR 7700",
            "MR 5300",
        ),
    ),
    Vendor.GE: (
        *("Signa Premier", "Signa Architect", "Signa Pioneer", "Signa Voyager", "Signa Artist", "Signa Explorer"),
        *("Signa Hero", "Signa Champion", "Signa Victor", "Signa Creator", "Signa Prime", "Signa PET MR", "Signa UHP"),
        *("Signa HDxt", "Signa HDx", "Signa Excite", "Discovery MR750w", "Discovery MR750", "Discovery MR450"),
        *("Optima MR450w", "Optima MR360", "Brivo MR355", "Magnus", "Signa"),
    ),
    Vendor.UIH: tuple(
        f"uMR {name}"
        for name in (
            "560",
            "570",
            "580",
            "588",
            "670",
            "680",
            "770",
            "780",
            "790",
            "870",
            "880",
            "890",
            "Omega",
            "NX",
            "Jupiter",
        )
    ),
    Vendor.CANON: ("Titan", "Galan", "Orian", "Centurian", "Elan", "Fortian", "Gracian", "Vantage"),
    Vendor.HITACHI: ("Echelon Oval", "Echelon Smart", "Echelon", "Oasis", "Trillium Oval", "Aperto", "Airis"),
}
"""Models as they are shown, a longer name before a shorter that begins it."""

_MOST = 128
"""Characters of a value that are looked at; a longer one is no name of a model."""


def scanner_of(vendor: Vendor, model: str, device: str) -> str:
    """The name, such as ``siemens Prisma #7c1e``.

    Parameters
    ----------
    vendor
        Whose dialect the images are in.
    model
        ManufacturerModelName, as it stands there.
    device
        DeviceSerialNumber, or where there is none StationName. Where both are empty, devices of a model are one.
    """
    words = f" {_plain(model[:_MOST])} "
    family = next((name for name in _MODELS.get(vendor, ()) if f" {_plain(name)} " in words), "")
    # The model decides too: two unknown models must not become one scanner.
    identity = "\n".join((vendor, _plain(model), device.strip())) if device.strip() or not family else ""
    shown = f"#{hashlib.sha256(identity.encode('utf-8', 'replace')).hexdigest()[:4]}" if identity else ""
    return " ".join(part for part in (str(vendor), family, shown) if part)


def _plain(text: str) -> str:
    """Lower-case words of letters and digits: scanners write Prisma_fit and MAGNETOM Prisma Fit."""
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))
