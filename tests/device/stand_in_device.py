"""A stand-in for CuPy, strict where CuPy is: it shows without a GPU what array code would do wrong on one.

Its arrays are no NumPy arrays, though NumPy works on the memory that they hide. As on a device, host arrays do not mix
with them, nothing turns into a host array by itself, reductions stay arrays, and only what CuPy 14.2 has under a name
and with the parameters of `cupy_names.txt` (written from the real one) can be called. Crossings are written down.

Stricter than CuPy, on purpose: a host array as an index is refused (CuPy would carry it over in silence), NumPy's
submodules are not dispatched, and memory of `empty` holds NaN. Laxer: it knows no streams, no kernels' rounding, no
memory limit, and no function's limits on dtypes or on values of its parameters. What depends on those, a real device
has to show.
"""

import operator
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import scipy.fft
import scipy.ndimage
from crossings import Traffic

KNOWN = {
    name: parameters.split()
    for name, _, parameters in (
        line.partition(" ") for line in (Path(__file__).parent / "cupy_names.txt").read_text().splitlines()
    )
}
"""Parameters of each function that CuPy has."""
UFUNC_KEYWORDS = {"out", "casting", "dtype"}
MAKERS = {"arange", "empty", "eye", "full", "identity", "indices", "linspace", "ones", "zeros", "meshgrid"}
"""What makes arrays from numbers: every other function wants an array of the device."""
SCALARS = (bool, int, float, complex, np.generic)
OPERATORS = [
    "add",
    "sub",
    "mul",
    "truediv",
    "floordiv",
    "mod",
    "pow",
    "and_",
    "or_",
    "xor",
    "lshift",
    "rshift",
    "matmul",
]
STATE = ("shape", "dtype", "ndim", "size", "nbytes", "itemsize", "strides", "flags")


traffic = Traffic()


class ndarray:  # noqa: N801 - CuPy's name
    """An array of the device."""

    __slots__ = ("_memory",)
    __hash__ = None  # type: ignore[assignment]
    __array_priority__ = 100

    def __init__(self, *_: Any, **__: Any) -> None:
        raise TypeError("the stand-in makes arrays by its functions only")

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **keywords: Any) -> Any:
        if method != "__call__":
            return NotImplemented
        if "out" in keywords:
            (keywords["out"],) = keywords["out"]
        return getattr(cupy, ufunc.__name__)(*inputs, **keywords)

    def __array_function__(self, function: Any, _types: Any, arguments: Any, keywords: Any) -> Any:
        known = getattr(cupy, function.__name__, None) if function.__module__ == "numpy" else None
        return NotImplemented if known is None else known(*arguments, **keywords)

    def __len__(self) -> int:
        return len(self._memory)

    def __iter__(self) -> "Iterator[ndarray]":
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: Any) -> "ndarray":
        return on_device(self._memory[_index(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        self._memory[_index(key)] = _operand(value)

    def __repr__(self) -> str:
        return f"<{self.shape} {self.dtype} on the stand-in device>"

    def __bool__(self) -> bool:
        traffic.numbers += 1
        return bool(self._memory)

    def __int__(self) -> int:
        traffic.numbers += 1
        return int(self._memory)

    def __float__(self) -> float:
        traffic.numbers += 1
        return float(self._memory)

    def __complex__(self) -> complex:
        traffic.numbers += 1
        return complex(self._memory)

    def item(self) -> Any:
        traffic.numbers += 1
        return self._memory.item()

    def tolist(self) -> Any:
        return self.get().tolist()

    def get(self) -> Any:
        traffic.note("host", self._memory)
        return self._memory.copy()

    @property
    def T(self) -> "ndarray":  # noqa: N802 - NumPy's name
        return on_device(self._memory.T)

    @property
    def real(self) -> "ndarray":
        return on_device(self._memory.real)

    @property
    def imag(self) -> "ndarray":
        return on_device(self._memory.imag)


def on_device(value: Any) -> Any:
    """What NumPy gave, as CuPy gives it: arrays and NumPy's numbers are arrays of the device."""
    if isinstance(value, np.ndarray | np.generic):
        array = object.__new__(ndarray)
        array._memory = np.asarray(value)
        return array
    if isinstance(value, tuple | list):
        return type(value)(map(on_device, value))
    return value


def _memory(value: Any) -> Any:
    """An argument for NumPy; host arrays are refused."""
    if isinstance(value, ndarray):
        return value._memory
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}: a host array {value.shape} among arrays of the device")
    if isinstance(value, tuple | list):
        return type(value)(map(_memory, value))
    return value


def _operand(value: Any) -> Any:
    if isinstance(value, (ndarray, *SCALARS)):
        return _memory(value)
    raise TypeError(f"Unsupported type {type(value)}: no operand for an array of the device")


def _index(key: Any) -> Any:
    """The key for NumPy; with an ellipsis, so that one element is a view too."""
    parts = _memory(key if isinstance(key, tuple) else (key,))
    return parts if any(part is Ellipsis for part in parts) else (*parts, Ellipsis)


def _has_device_array(values: Any) -> bool:
    return any(
        isinstance(value, ndarray) or (isinstance(value, tuple | list) and _has_device_array(value)) for value in values
    )


def _wrapped(full_name: str, function: Callable[..., Any], *, takes: str) -> Callable[..., Any]:
    """`function` of NumPy (SciPy), for arrays of the device and with CuPy's parameters only."""
    parameters = KNOWN[full_name]
    name = full_name.rpartition(".")[2]

    def call(*arguments: Any, **keywords: Any) -> Any:
        allowed = UFUNC_KEYWORDS if parameters == ["ufunc"] else set(parameters)
        if unknown := set(keywords) - allowed:
            raise TypeError(f"CuPy's {full_name} has no parameter {', '.join(sorted(unknown))}")
        if parameters == ["ufunc"]:
            for argument in arguments:
                _operand(argument)
        elif len(arguments) > len(parameters) and not any(p.startswith("*") for p in parameters):
            raise TypeError(f"CuPy's {full_name} takes {len(parameters)} arguments, got {len(arguments)}")
        if takes == "arrays" and not _has_device_array([*arguments, *keywords.values()]):
            raise TypeError(f"{full_name} needs an array of the device")
        given = _memory(list(arguments))
        result = function(*given, **{key: _memory(value) for key, value in keywords.items()})
        if "out" in keywords and isinstance(keywords["out"], ndarray):
            return keywords["out"]
        result = on_device(result)
        if name.startswith("empty") and result.dtype.kind in "fc":
            result._memory[...] = np.nan
        return result

    call.__name__ = name
    return call


def _asarray(a: Any, dtype: Any = None) -> ndarray:
    if isinstance(a, ndarray):
        return on_device(np.asarray(a._memory, dtype=dtype))
    array = np.array(a, dtype=dtype)
    traffic.note("device", array)
    return on_device(array)


def _asnumpy(a: Any) -> Any:
    return a.get() if isinstance(a, ndarray) else np.asarray(a)


def _label(input: ndarray, structure: Any = None) -> tuple[ndarray, int]:  # noqa: A002 - SciPy's name
    """Labels, and their number as a Python number, as CuPy has it."""
    labels, count = scipy.ndimage.label(_memory(input), None if structure is None else _memory(structure))
    return on_device(labels), int(count)


def _module(name: str, model: ModuleType, **own: Any) -> ModuleType:
    module = ModuleType(name)
    for full_name, parameters in KNOWN.items():
        parent, _, short = full_name.rpartition(".")
        if parent == name:
            takes = "anything" if short in MAKERS or parameters == ["ufunc"] else "arrays"
            setattr(module, short, _wrapped(full_name, getattr(model, short), takes=takes))
    for key, value in own.items():
        setattr(module, key, value)
    return module


def _methods() -> None:
    for full_name, parameters in KNOWN.items():
        parent, _, name = full_name.rpartition(".")
        if parent != "ndarray" or name in vars(ndarray):
            continue
        if name in STATE:
            setattr(ndarray, name, property(lambda self, name=name: getattr(self._memory, name)))
        elif parameters != ["attribute"]:
            setattr(ndarray, name, _wrapped(full_name, getattr(np.ndarray, name), takes="arrays"))


def _operators() -> None:
    for name in OPERATORS:
        plain, special = getattr(operator, name), name.strip("_")
        setattr(ndarray, f"__{special}__", _operator(plain))
        setattr(ndarray, f"__r{special}__", _operator(lambda a, b, plain=plain: plain(b, a)))
        if name != "matmul":  # CuPy has none in place
            setattr(ndarray, f"__i{special}__", _in_place(getattr(operator, f"i{special}")))
    for name in ("lt", "le", "eq", "ne", "gt", "ge"):
        setattr(ndarray, f"__{name}__", _operator(getattr(operator, name)))
    for name in ("neg", "pos", "abs", "invert"):
        setattr(ndarray, f"__{name}__", _alone(getattr(operator, name)))


def _alone(of: Callable[[Any], Any]) -> Callable[[ndarray], Any]:
    return lambda self: on_device(of(self._memory))


def _operator(of: Callable[[Any, Any], Any]) -> Callable[[ndarray, Any], Any]:
    return lambda self, other: on_device(of(self._memory, _operand(other)))


def _in_place(of: Callable[[Any, Any], Any]) -> Callable[[ndarray, Any], ndarray]:
    def operate(self: ndarray, other: Any) -> ndarray:
        of(self._memory, _operand(other))
        return self

    return operate


_methods()
_operators()


class _CUDARuntimeError(RuntimeError):
    """Never raised here."""


cuda = ModuleType("cupy.cuda")
cuda.runtime = ModuleType("cupy.cuda.runtime")  # type: ignore[attr-defined]
cuda.runtime.getDeviceCount = lambda: 1
cuda.runtime.CUDARuntimeError = _CUDARuntimeError

TYPES = ["bool_", "int8", "int16", "int32", "int64", "intp", "uint8", "uint16", "uint32", "uint64"]
TYPES += ["float16", "float32", "float64", "complex64", "complex128"]
cupy = _module(
    "cupy",
    np,
    **{name: getattr(np, name) for name in [*TYPES, "inf", "nan", "pi", "e", "newaxis"]},
    ndarray=ndarray,
    asarray=_asarray,
    array=lambda a, dtype=None: _asarray(a, dtype).copy(),
    asnumpy=_asnumpy,
    fft=_module("cupy.fft", np.fft),
    cuda=cuda,
)
cupyx = ModuleType("cupyx")
cupyx.scipy = ModuleType("cupyx.scipy")  # type: ignore[attr-defined]
cupyx.scipy.fft = _module("cupyx.scipy.fft", scipy.fft)
cupyx.scipy.ndimage = _module("cupyx.scipy.ndimage", scipy.ndimage, label=_label)

MODULES = {
    "cupy": cupy,
    "cupyx": cupyx,
    "cupyx.scipy": cupyx.scipy,
    "cupyx.scipy.fft": cupyx.scipy.fft,
    "cupyx.scipy.ndimage": cupyx.scipy.ndimage,
}
"""What `import` is to find in CuPy's place."""
