"""What a folder holds, and which of it to reconstruct."""

from pathlib import Path
from typing import Any

from qsm_acquisition.acquisition import Acquisition, Survey
from qsm_acquisition.refusals import Refusal

from qsm_recon.errors import InputError, UsageError

ALL = "all"
