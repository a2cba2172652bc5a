"""The unit a field volume is in, and its way to ppm."""

from dataclasses import dataclass

from qsm_recon.errors import UsageError


@dataclass(frozen=True)
class FieldUnit:
    """The unit a field volume is in, as the options say it."""

    name: str
    field_strength_t: float | None
    echo_time_s: float | None

    def ppm(self) -> float:
        """Factor to ppm of B0.

        Raises
        ------
        UsageError
            The unit needs an option that was not given.
        """
        if self.name == "ppm":
            return 1.0
        if self.field_strength_t is None:
            raise UsageError(f"--field-unit {self.name} needs --field-strength-t")
        from qsm_recon.qsm import units  # noqa: PLC0415 - only now: `--help` must not wait for the science

        frequency_hz = units.center_frequency_hz(self.field_strength_t)
        if self.name == "hz":
            return units.ppm_per_hz(frequency_hz)
        if self.echo_time_s is None:
            raise UsageError("--field-unit rad needs --echo-time-s, the time in which the phase was gathered")
        return units.ppm_per_rad(self.echo_time_s, frequency_hz)
