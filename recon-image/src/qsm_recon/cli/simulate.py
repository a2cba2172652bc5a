"""`qsm-recon simulate`."""

from pathlib import Path

import click

from qsm_recon.cli import options
from qsm_recon.cli.console import watching
from qsm_recon.folder import check_target, new_folder
from qsm_recon.qsm.observing import StageClock
from qsm_recon.simulation import PROTOCOLS, make_phantom, protocol
from qsm_recon.simulation.scanner import parameters, store
from qsm_recon.simulation.vendors import VENDORS


@click.command(name="simulate")
@click.option("--vendor", type=click.Choice(list(VENDORS)), default="siemens", show_default=True, help="Whose dialect.")
@click.option(
    "--protocol",
    "protocol_name",
    type=click.Choice(list(PROTOCOLS)),
    default="small",
    show_default=True,
    help="Matrix and echoes; small is coarse and quick.",
)
@click.option("--angle", type=float, default=0.0, show_default=True, help="Tilt of the slab about left-right, degrees.")
@click.option("--snr", type=options.PositiveFloat(), default=40.0, show_default=True, help="White matter, first echo.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Whose head, coil and noise.")
@click.option("--field-strength-t", type=options.PositiveFloat(), default=3.0, show_default=True, help="B0 in tesla.")
@click.option("--echo-times-s", type=options.Numbers("s,s,..."), help="Other echo times than the protocol's, s.")
@click.option("--bipolar", is_flag=True, help="Read even echoes backwards.")
@options.talk_options
@click.option("--output", "-o", type=options.NEW_PATH, required=True, help="New folder.")
def command(
    *,
    vendor: str,
    protocol_name: str,
    angle: float,
    snr: float,
    seed: int,
    field_strength_t: float,
    echo_times_s: tuple[float, ...] | None,
    bipolar: bool,
    quiet: bool,
    as_json: bool,
    output: Path,
) -> None:
    """Write a digital head as a vendor's scanner would, with its truth.

    The head has nuclei, ventricles, veins, a calcification, a haemorrhage and air-filled sinuses. Writes into
    OUTPUT: dicom/ (the scan) and truth/ (NIfTI on the scan's grid, params.json with what was simulated).
    """
    check_target(output)
    chosen = protocol(protocol_name)
    if echo_times_s is not None:
        options.check_echo_times(echo_times_s)
        chosen = chosen.with_echo_times(echo_times_s)
    with watching(quiet=quiet) as observer:
        clock = StageClock(observer)
        with clock.stage("simulate") as progress:
            phantom = make_phantom(
                chosen,
                seed=seed,
                angle_deg=angle,
                snr=snr,
                field_strength_t=field_strength_t,
                bipolar=bipolar,
                progress=progress,
            )
        with new_folder(output) as staging, clock.stage("write") as progress:
            stored = store(phantom, vendor, staging, progress)
    facts = {"vendor": vendor, **parameters(phantom), "files": stored.file_count}
    options.finish(facts, (), output, quiet=quiet, as_json=as_json)
