"""Users' own components found at their places, and made ready to travel by value.

A file that only the driver has must work in actors on other nodes. So what is found is pickled with its code
(cloudpickle), and everybody, the driver included, works with what comes out of that. Code that is installed in
Python's own folders is the same on all nodes and goes by its name.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import re
import site
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from tokenize import TokenError
from types import ModuleType
from typing import Any

from fedchunk.orchestrator import registry
from fedchunk.orchestrator.components import Component
from fedchunk.orchestrator.registry import Kind


class NotFound(Exception):
    """There is no component at a place; the message says what was tried and what to do."""


def find(kind: Kind, word: str, folder: Path) -> Component:
    """The component that ``word`` stands for, where it is no built-in.

    Args:
        kind: what it must be.
        word: the name of an entry point, or a place.
        folder: from where files count, and where modules are searched after everything that is installed.

    Raises:
        NotFound: there is none, or it cannot be called or shipped.
    """
    if not registry.is_place(word):
        point = registry.entry_points(kind)[word]
        with _explained(f"the entry point {word} ({point.value})"):
            return _component(kind, word, point.load(), importlib.import_module(point.module), folder)
    at, _, attribute = word.rpartition(":")
    is_file = at.endswith(".py") or "/" in at or "\\" in at
    # A file's helpers lie beside it; modules are also searched in the folder of the command.
    places = [(folder / at).parent, folder] if is_file else [Path.cwd(), folder]
    with _searched(places) as brought:
        module = _file_module(folder, at) if is_file else _named_module(at, folder)
        found: Any = module
        for part in attribute.split("."):
            if not hasattr(found, part):
                names = [name for name in vars(found) if not name.startswith("_") and callable(getattr(found, name))]
                raise NotFound(f"{at} has no {part!r}{registry._near(part, names)}")
            found = getattr(found, part)
        return _component(kind, word, found, module, folder, brought())


def from_object(kind: Kind, thing: Any) -> Component:
    """A component from an object that a script or a notebook hands over. Raises NotFound as :func:`find` does."""
    qualified = getattr(thing, "__qualname__", type(thing).__qualname__)
    module = sys.modules.get(getattr(thing, "__module__", None) or type(thing).__module__)
    module_name = module.__name__ if module else "__main__"
    name = f"{module_name}:{re.sub(r'[^0-9A-Za-z_.]', '_', qualified)}"
    return _component(kind, name, thing, module, Path.cwd())


def _component(
    kind: Kind, name: str, thing: Any, module: ModuleType | None, folder: Path, beside: Sequence[ModuleType] = ()
) -> Component:
    if not callable(thing):
        raise NotFound(f"{name} is {type(thing).__name__}, which cannot be called; name a function or a class")
    try:
        signature = registry.signature_of(thing)
    except (ValueError, TypeError):
        raise NotFound(f"Python cannot tell what {name} asks for; wrap it in a function of its own") from None
    own_file = getattr(module, "__file__", None) or ""
    try:
        file, line = inspect.getsourcefile(thing) or own_file, inspect.getsourcelines(thing)[1]
    except _NO_SOURCE:
        file, line = own_file, 1
    code = _pickled(name, thing, [part for part in (module, *beside) if part is not None])
    files = _files(file, beside) or ((f"{kind.name}.py", _source_text(thing)),)
    digest = hashlib.sha256()
    for _, text in files:
        digest.update(text.encode())
    captured = _captured(thing)
    if captured is not None or not any(text for _, text in files):
        digest.update(code if captured is None else _pickled(name, captured, []))
    return Component(kind.name, name, file, line, digest.hexdigest(), signature, code, files)


_NO_SOURCE = (OSError, TypeError, TokenError)
"""What ``inspect`` raises where there is no source, or where the file is another one by now."""


def _captured(thing: Any) -> Any:
    """Values that are no part of a source: of a function made in another one, of a partial or any other object."""
    if inspect.isclass(thing):
        return None
    if isinstance(thing, partial):
        return thing.args, thing.keywords, _captured(thing.func)
    if inspect.isfunction(thing):
        return tuple(cell.cell_contents for cell in thing.__closure__) if thing.__closure__ else None
    return getattr(thing, "__dict__", None) or None


def _files(file: str, beside: Sequence[ModuleType]) -> tuple[tuple[str, str], ...]:
    """The component's own file first, then those that it imports, by their names from its folder."""
    if not _text(file):
        return ()
    folder = Path(file).parent
    others = sorted({str(part.__file__) for part in beside} - {file})
    near = [other for other in others if Path(other).is_relative_to(folder)]
    return (Path(file).name, _text(file)), *((str(Path(other).relative_to(folder)), _text(other)) for other in near)


def _pickled(name: str, thing: Any, modules: Sequence[ModuleType]) -> bytes:
    """The object with the code of its own modules, but not of installed ones."""
    import cloudpickle

    by_value = [_top_level(module) for module in modules if module.__name__ != "__main__" and not _is_installed(module)]
    registered = []
    try:
        for module in by_value:
            if module.__name__ not in cloudpickle.list_registry_pickle_by_value():
                cloudpickle.register_pickle_by_value(module)
                registered.append(module)
        pickled: bytes = cloudpickle.dumps(thing)
    except Exception as error:
        reason = f"{name} cannot be sent to other processes ({type(error).__name__}: {error})"
        raise NotFound(f"{reason}; make what it uses inside the function") from error
    finally:
        for module in registered:
            cloudpickle.unregister_pickle_by_value(module)
    return pickled


def _top_level(module: ModuleType) -> ModuleType:
    return sys.modules.get(module.__name__.partition(".")[0], module)


def _is_installed(module: ModuleType) -> bool:
    """Whether a module lies where installers put packages, or has no file at all."""
    file = getattr(module, "__file__", None)
    if file is None:
        return getattr(module, "__path__", None) is None
    homes = {
        *site.getsitepackages(),
        site.getusersitepackages(),
        *map(sysconfig.get_path, ("stdlib", "purelib", "platlib")),
    }
    return any(Path(file).is_relative_to(home) for home in homes) or module.__name__.partition(".")[0] == "fedchunk"


@contextmanager
def _searched(folders: Sequence[Path]) -> Iterator[Callable[[], list[ModuleType]]]:
    """Inside, modules are also searched in these folders, after all else; what came from there is forgotten afterwards.

    Gives a function that tells which modules came from there so far.
    """
    before = set(sys.modules)
    places = [str(_resolved(folder)) for folder in folders]
    sys.path.extend(places)
    importlib.invalidate_caches()

    def brought() -> list[ModuleType]:
        new = [module for name, module in list(sys.modules.items()) if name not in before]
        own = [module for module in new if getattr(module, "__file__", None) and not _is_installed(module)]
        return [module for module in own if any(Path(str(module.__file__)).is_relative_to(place) for place in places)]

    try:
        yield brought
    finally:
        for module in brought():
            sys.modules.pop(module.__name__, None)
        for place in places:
            sys.path.remove(place)


def _resolved(folder: Path) -> Path:
    try:
        return folder.expanduser().resolve()
    except (OSError, ValueError, RuntimeError):  # names that no file system has, or no user: said where it is opened
        return Path.cwd()


def _file_module(folder: Path, at: str) -> ModuleType:
    try:
        path = (folder / Path(at).expanduser()).resolve()
        is_file = path.is_file()
    except (OSError, ValueError, RuntimeError) as error:  # names that no file system has, or no user
        raise NotFound(f"{at[:100]!r} is no name of a file ({error})") from None
    if not is_file:
        raise NotFound(f"there is no file {path}; a place is ./file.py:name, relative to the settings file")
    # A name of its own: the user's file may be called as any module is.
    name = f"own_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise NotFound(f"{path} is not a Python file; its name must end in .py")
    module = module_from_spec(spec)
    sys.modules[name] = module
    with _explained(str(at), str(path)):
        spec.loader.exec_module(module)
    return module


def _named_module(at: str, folder: Path) -> ModuleType:
    try:
        with _explained(at):
            return importlib.import_module(at)
    except NotFound as error:
        if isinstance(error.__cause__, ModuleNotFoundError) and error.__cause__.name in (at, at.partition(".")[0]):
            raise NotFound(
                f"there is no module {at}, neither installed nor in {folder.resolve()}; "
                f"if you mean a file, write ./{at.replace('.', '/')}.py:name"
            ) from None
        raise


@contextmanager
def _explained(what: str, file: str = "") -> Iterator[None]:
    """Inside, what an import raises is said with the place in the file that raised it."""
    try:
        yield
    except Exception as error:
        at = f" in line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        if file and not at:
            lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
            at = f" in line {lines[-1]}" if lines else ""
        raise NotFound(f"{what} cannot be imported{at}: {type(error).__name__}: {error}") from error


def _text(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _source_text(thing: Any) -> str:
    try:
        return inspect.getsource(thing)
    except _NO_SOURCE:
        return ""
