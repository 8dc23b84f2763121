"""Does an object really implement a ``Protocol``? Stricter than ``isinstance`` with ``runtime_checkable``.

``runtime_checkable`` (PEP 544) only asks whether the names exist. A plug-in is written by somebody else against some
other release, so this also asks whether methods are callable, asynchronous where the protocol's are, take the
protocol's parameters, and whether attributes have the declared class. Pure: it looks, and calls no method; reading
an attribute that is a property does run that property.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, Generic, Protocol, get_type_hints

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def mismatches(instance: object, protocol: type) -> tuple[str, ...]:
    """Sentences saying where ``instance`` departs from ``protocol``, in the protocol's order; empty if it conforms."""
    if isinstance(instance, type):
        return (f"it is the class {instance.__name__}, not an instance of one",)
    return tuple(problem for name in _members(protocol) for problem in _member_problems(instance, protocol, name))


def _members(protocol: type) -> tuple[str, ...]:
    """Public names that the protocol and the protocols it extends declare, methods and attributes alike."""
    names: dict[str, None] = {}
    for base in reversed(protocol.__mro__):
        if getattr(base, "_is_protocol", False) and base not in (Protocol, Generic):
            declared = (*inspect.get_annotations(base), *vars(base))
            names |= dict.fromkeys(name for name in declared if not name.startswith("_"))
    return tuple(names)


def _member_problems(instance: object, protocol: type, name: str) -> Iterator[str]:
    declared = inspect.getattr_static(protocol, name, None)
    is_method = inspect.isfunction(declared)
    title = f"{name}()" if is_method else name
    try:
        found = getattr(instance, name)
    except AttributeError:
        yield f"it lacks {title}, which {protocol.__name__} requires"
        return
    except Exception as error:  # noqa: BLE001  # a foreign property may raise anything; that is the finding
        yield f"reading {title} raises {type(error).__name__}"
        return
    if is_method:
        yield from _method_problems(found, declared, title)
    else:
        yield from _attribute_problems(found, _declared_class(protocol, name, declared), title)


def _declared_class(protocol: type, name: str, declared: object) -> object:
    if isinstance(declared, property):
        return get_type_hints(declared.fget).get("return")
    return get_type_hints(protocol).get(name)


def _attribute_problems(found: object, expected: object, title: str) -> Iterator[str]:
    """Only plain classes are checked; a generic alias or a union says nothing that ``isinstance`` could decide."""
    if isinstance(expected, type) and not getattr(expected, "_is_protocol", False) and not isinstance(found, expected):
        yield f"{title} is a {type(found).__name__}, not a {expected.__name__}"


def _method_problems(found: object, declared: Callable[..., object], title: str) -> Iterator[str]:
    if not callable(found):
        yield f"{title} is a {type(found).__name__}, which cannot be called"
        return
    if inspect.iscoroutinefunction(declared) != _is_async(found):
        yield f"{title} must {'' if inspect.iscoroutinefunction(declared) else 'not '}be async"
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        yield f"the parameters of {title} cannot be read"
        return
    yield from _signature_problems(signature, declared, title)


def _is_async(found: Callable[..., object]) -> bool:
    """Whether calling gives a coroutine: a coroutine function, or an object whose class defines ``async __call__``."""
    return inspect.iscoroutinefunction(found) or inspect.iscoroutinefunction(type(found).__call__)


def _signature_problems(signature: inspect.Signature, declared: Callable[..., object], title: str) -> Iterator[str]:
    """Try every way the protocol lets a caller pass its arguments; one sentence for the first that would fail."""
    for args, kwargs in _ways_to_call(declared):
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            yield f"{title} has other parameters: {error}"
            return


def _ways_to_call(declared: Callable[..., object]) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    _self, *parameters = inspect.signature(declared).parameters.values()
    named = [p for p in parameters if p.kind not in _VARIADIC]
    required = [p for p in named if p.default is inspect.Parameter.empty]
    for subset in (named, required):
        by_position = [p for p in subset if p.kind in _POSITIONAL]
        by_name = {p.name: None for p in subset if p.kind not in _POSITIONAL}
        yield (None,) * len(by_position), by_name
        only = [p for p in by_position if p.kind is inspect.Parameter.POSITIONAL_ONLY]
        yield (None,) * len(only), {p.name: None for p in subset if p not in only}
