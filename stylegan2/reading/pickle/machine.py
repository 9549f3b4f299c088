"""The pickle machine: goes over what `pickletools` reads, and calls nothing but the allow-list."""

import struct
from collections.abc import Callable
from pickletools import genops
from typing import IO, Any, cast

from stylegan2.reading.errors import UnreadableFileError, UnsafeFileError, shown
from stylegan2.reading.pickle.budget import MAX_STEPS
from stylegan2.reading.pickle.inert import Reading, build, call, create, set_items
from stylegan2.reading.pickle.values import Name
from stylegan2.reading.window import MAX_INTEGER_BYTES, Window

MAX_NAME = 128  # characters of a global's module and of its name
Persistent = Callable[[object], object]  # answers a persistent id: a storage


def run_pickle(
    data: memoryview, reading: Reading, persistent: Persistent | None = None, start: int = 0
) -> tuple[Any, int]:
    """What the pickle at `start` holds, in inert values, and where it ends in bytes.

    Raises:
        UnsafeFileError: It would run code, or passes a bound.
        UnreadableFileError: No pickle, damaged, or cut short.
    """
    window = Window(data, reading.budget, start)
    machine = _Machine(reading, persistent)
    try:
        # genops asks for nothing but these reads.
        steps = 0
        for opcode, argument, position in genops(cast("IO[bytes]", window)):
            steps += 1
            if steps % 256 == 0:
                reading.budget.step(256)
            action = _ACTIONS.get(opcode.name)
            if action is None:
                raise UnsafeFileError(
                    f"pickle opcode {opcode.name} at byte {position}; weights files have none"
                )
            action(machine, argument)
        reading.budget.step(steps % 256)
    except UnicodeError as error:
        raise UnreadableFileError("text that is none in a pickle; the file is damaged") from error
    except (ValueError, IndexError, KeyError, OverflowError, struct.error, AssertionError) as error:
        what = shown(str(error))
        raise UnreadableFileError(
            f"not a whole pickle ({what}); no weights file, or a damaged or truncated one"
        ) from error
    if machine.marks or len(machine.stack) != 1:
        raise UnreadableFileError("a pickle that leaves more or less than one value; the file is damaged")
    return machine.stack[0], window.tell()


class _Machine:
    """Stack, marks and memo of one pickle."""

    def __init__(self, reading: Reading, persistent: Persistent | None) -> None:
        self.reading, self._persistent = reading, persistent
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def push(self, value: object) -> None:
        self.stack.append(value)

    def push_integer(self, value: int) -> None:
        if value.bit_length() > 8 * MAX_INTEGER_BYTES:
            raise UnsafeFileError(
                f"an integer of {value.bit_length()} bits; at most {8 * MAX_INTEGER_BYTES} are read"
            )
        self.stack.append(value)

    def push_text(self, value: str) -> None:
        if not value.isascii():
            value.encode()  # half of a surrogate pair is refused here and not where it is shown
        self.stack.append(value)

    def push_bytearray(self, value: bytearray) -> None:
        self.reading.budget.copy(2 * len(value))
        self.stack.append(bytes(value))

    def pop_mark(self) -> list[Any]:
        items = self.stack
        self.stack = self.marks.pop()
        return items

    def drop_mark(self) -> None:
        self.pop_mark()

    def mark(self, _: None) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def pop(self, _: None) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.pop_mark()

    def put(self, index: int) -> None:
        if not 0 <= index <= MAX_STEPS:
            raise UnsafeFileError(f"a memo index of {index}; at most {MAX_STEPS} are read")
        self.memo[index] = self.stack[-1]

    def memoize(self, _: None) -> None:
        self.put(len(self.memo))

    def tuple_of_one(self, _: None) -> None:
        self.stack[-1] = (self.stack[-1],)

    def tuple_of(self, count: int) -> None:
        if len(self.stack) < count:
            raise IndexError("stack is empty")
        self.stack[-count:] = [tuple(self.stack[-count:])]

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise UnsafeFileError(
                f"would append to a {type(target).__name__}; refused, only lists have items"
            )
        target.extend(items)

    def set_entries(self, items: list[Any]) -> None:
        if len(items) % 2:
            raise IndexError("a key without a value")
        set_items(self.stack[-1], zip(items[::2], items[1::2], strict=True))

    def push_dict(self, _: None) -> None:
        items = self.pop_mark()
        self.stack.append({})
        self.set_entries(items)

    def push_name(self, module: object, name: object) -> None:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise UnreadableFileError("a global without a name; the pickle is damaged")
        if max(len(module), len(name)) > MAX_NAME:
            raise UnsafeFileError(f"a global with a name longer than {MAX_NAME} characters; refused")
        self.stack.append(Name(f"{module}.{name}"))

    def name_on_stack(self, _: None) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.push_name(module, name)

    def reduce(self, _: None) -> None:
        args, function = self.stack.pop(), self.stack.pop()
        self.stack.append(call(self.reading, function, args))

    def new(self, _: None) -> None:
        args, cls = self.stack.pop(), self.stack.pop()
        self.stack.append(create(self.reading, cls, args))

    def new_with_keywords(self, _: None) -> None:
        kwargs, args, cls = self.stack.pop(), self.stack.pop(), self.stack.pop()
        self.stack.append(create(self.reading, cls, args, kwargs))

    def call_marked(self, _: None) -> None:
        cls, *args = self.pop_mark()
        self.stack.append(call(self.reading, cls, tuple(args)))

    def call_named(self, text: str) -> None:
        args = self.pop_mark()
        self.push_name(*text.split(" ", 1))
        self.stack.append(call(self.reading, self.stack.pop(), tuple(args)))

    def build(self, _: None) -> None:
        state = self.stack.pop()
        build(self.reading, self.stack[-1], state)

    def refer(self, identity: object) -> None:
        if self._persistent is None:
            raise UnsafeFileError("refers to data outside of its pickle; refused")
        self.stack.append(self._persistent(identity))


_Action = Callable[[_Machine, Any], None]


def _nothing(_machine: _Machine, _argument: object) -> None:
    """Protocol marks and frames: genops has read them."""


_ACTIONS: dict[str, _Action] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), _nothing),
    **dict.fromkeys(("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"), _Machine.push_integer),
    **dict.fromkeys(("FLOAT", "BINFLOAT", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"), _Machine.push),
    **dict.fromkeys(("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE"), _Machine.push_text),
    **dict.fromkeys(("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"), _Machine.push_text),
    "BYTEARRAY8": _Machine.push_bytearray,
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_SET": lambda machine, _: machine.push([]),
    "TUPLE1": _Machine.tuple_of_one,
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_mark())),
    "LIST": lambda machine, _: machine.push(machine.pop_mark()),
    "FROZENSET": lambda machine, _: machine.push(machine.pop_mark()),
    "DICT": _Machine.push_dict,
    "MARK": _Machine.mark,
    "POP": _Machine.pop,
    "POP_MARK": lambda machine, _: machine.drop_mark(),
    "DUP": lambda machine, _: machine.push(machine.stack[-1]),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _Machine.put),
    **dict.fromkeys(
        ("GET", "BINGET", "LONG_BINGET"), lambda machine, index: machine.push(machine.memo[index])
    ),
    "MEMOIZE": _Machine.memoize,
    "APPEND": lambda machine, _: machine.extend([machine.stack.pop()]),
    **dict.fromkeys(("APPENDS", "ADDITEMS"), lambda machine, _: machine.extend(machine.pop_mark())),
    "SETITEM": lambda machine, _: machine.set_entries([machine.stack.pop(-2), machine.stack.pop()]),
    "SETITEMS": lambda machine, _: machine.set_entries(machine.pop_mark()),
    "GLOBAL": lambda machine, text: machine.push_name(*text.split(" ", 1)),
    "STACK_GLOBAL": _Machine.name_on_stack,
    "REDUCE": _Machine.reduce,
    "NEWOBJ": _Machine.new,
    "NEWOBJ_EX": _Machine.new_with_keywords,
    "OBJ": _Machine.call_marked,
    "INST": _Machine.call_named,
    "BUILD": _Machine.build,
    "PERSID": _Machine.refer,
    "BINPERSID": lambda machine, _: machine.refer(machine.stack.pop()),
}
