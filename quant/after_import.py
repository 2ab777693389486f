"""Imports a module of ours right after a heavy module of somebody else, whenever that is."""

import importlib
import importlib.util
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

__all__ = ["after_import"]


def after_import(trigger: str, module: str) -> None:
    """Import `module` now if `trigger` is loaded already, else as soon as it has been.

    Nothing is imported before, and the hook removes itself once it has fired.
    """
    if trigger in sys.modules:
        importlib.import_module(module)
    else:
        sys.meta_path.insert(0, _Finder(trigger, module))


class _Finder(MetaPathFinder):
    def __init__(self, trigger: str, module: str) -> None:
        self.trigger, self.module = trigger, module

    def find_spec(self, fullname: str, path=None, target=None) -> ModuleSpec | None:
        if fullname != self.trigger:
            return None
        sys.meta_path.remove(self)  # also keeps the search below from finding this finder again
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self.module)
        return spec


class _Loader(Loader):
    """The real loader, then one import more."""

    def __init__(self, real: Loader, module: str) -> None:
        self.real, self.module = real, module

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.real.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # The module keeps its real loader: readers of its source or resources ask for it.
        module.__spec__.loader = module.__loader__ = self.real
        self.real.exec_module(module)
        importlib.import_module(self.module)
