"""Variables and attributes of which every thread and every asynchronous task has its own value."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload
from weakref import WeakKeyDictionary

Value = TypeVar("Value")


@contextmanager
def within(variable: "ContextVar[Value] | Attribute[Value]", value: Value) -> Iterator[None]:
    """Give a ContextVar, or ``Class.attribute.of(object)``, another value within the block."""
    before = variable.get()
    variable.set(value)
    try:
        yield
    finally:
        variable.set(before)


class PerContext(Generic[Value]):
    """An attribute with a value of its own in every context, as :mod:`contextvars` has it.

    A new thread starts with what `make` gives, an asyncio task with the values of the code that
    starts it. Values are dropped with the object that they belong to."""

    def __init__(self, make: Callable[[], Value]) -> None:
        self.make = make

    def __set_name__(self, owner: type, name: str) -> None:
        self.values: ContextVar[WeakKeyDictionary[Any, Value] | None]
        self.values = ContextVar(name, default=None)

    def of(self, instance: object) -> "Attribute[Value]":
        """The attribute of one object, for :func:`within`."""
        return Attribute(self, instance)

    @overload
    def __get__(self, instance: None, owner: type) -> "PerContext[Value]": ...

    @overload
    def __get__(self, instance: object, owner: type) -> Value: ...

    def __get__(self, instance: object | None, owner: type) -> "Value | PerContext[Value]":
        if instance is None:
            return self
        values = self.values.get()
        if values is None or instance not in values:
            self.__set__(instance, self.make())
            values = self.values.get()
        assert values is not None
        return values[instance]

    def __set__(self, instance: object, value: Value) -> None:
        # A new mapping, since contexts that were copied from this one share the old one.
        values = WeakKeyDictionary(self.values.get() or {})
        values[instance] = value
        self.values.set(values)


@dataclass(frozen=True)
class Attribute(Generic[Value]):
    """An attribute of one object, read and written like a ContextVar."""

    per_context: PerContext[Value]
    instance: object

    def get(self) -> Value:
        return self.per_context.__get__(self.instance, type(self.instance))

    def set(self, value: Value) -> None:
        self.per_context.__set__(self.instance, value)
