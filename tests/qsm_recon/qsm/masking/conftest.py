"""A head of nested ellipsoids whose brain is known exactly."""

from dataclasses import dataclass

import numpy as np
import pytest

from qsm_recon.qsm.scan import FieldFit, Geometry, MultiEchoScan


@dataclass(frozen=True)
class Head:
    scan: MultiEchoScan
    fit: FieldFit
    brain: np.ndarray


def fit_of(scan):
    """Lag-one phase slope: all that masking asks of a field fit."""
    signal = scan.magnitude * np.exp(1j * scan.phase_rad)
    slope = np.angle((signal[1:] * signal[:-1].conj()).sum(axis=0)).astype(np.float32)
    noise = np.where(scan.magnitude.sum(axis=0) > 0, 0.02, np.inf).astype(np.float32)
    return FieldFit(slope, noise, np.zeros_like(noise), 0.005, 1.0)


def scan_of(magnitude, phase, voxel):
    return MultiEchoScan(
        np.ascontiguousarray(magnitude, dtype=np.float32),
        np.ascontiguousarray(phase, dtype=np.float32),
        (0.005, 0.010),
        128e6,
        Geometry(voxel, (0.0, 0.0, 1.0)),
    )


def make_head(voxel=(3.0, 3.0, 3.0), size_mm=(192, 222, 180), noise=0.02, bias=0.0, seed=0):
    """Brain (1.4 L) in a dark skull, in a bright scalp, in noise; a quadratic field; optional bias along y."""
    shape = tuple(round(s / v) for s, v in zip(size_mm, voxel, strict=True))
    # Twice as fine, then averaged: a voxel at a border is part one tissue, part the other.
    fine = [(np.arange(2 * n) - n + 0.5) * v / 2 for n, v in zip(shape, voxel, strict=True)]
    x, y, z = np.meshgrid(*fine, indexing="ij", sparse=True)

    def within(a, b, c):
        return (x / a) ** 2 + (y / b) ** 2 + (z / c) ** 2 < 1

    def average(values):
        return values.reshape(shape[0], 2, shape[1], 2, shape[2], 2).mean(axis=(1, 3, 5))

    inside = within(66, 82, 62)
    image = np.where(within(82, 98, 78), 1.5, 0.0)
    image[within(76, 92, 72)] = 0.1
    image[inside] = 1.0
    image[within(8, 25, 9)] = 0.6
    brain = average(inside) > 0.99
    image = average(image * np.exp(bias * y / 100))
    x, y, z = (axis[::2, ::2, ::2] for axis in (x, y, z))
    rng = np.random.default_rng(seed)
    field = 2 * np.pi * (x**2 - z**2) / 70**2 + y / 15
    echoes = [image * decay * np.exp(1j * (0.5 + field * (k + 1))) for k, decay in enumerate((1.0, 0.8))]
    signal = np.stack(echoes)
    signal = signal + noise * (rng.standard_normal(signal.shape) + 1j * rng.standard_normal(signal.shape))
    scan = scan_of(1000 * np.abs(signal), np.angle(signal), voxel)
    return Head(scan, fit_of(scan), brain)


@pytest.fixture(scope="session")
def head():
    return make_head()


@pytest.fixture(scope="session")
def build_head():
    return make_head


@pytest.fixture(scope="session")
def build_scan():
    """(magnitude, phase, voxel) -> (scan, fit)."""

    def build(magnitude, phase, voxel):
        scan = scan_of(magnitude, phase, voxel)
        return scan, fit_of(scan)

    return build
