"""Models in and out of folders; a failure is one line saying what was wanted and what came."""

import glob
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import torch

from macsmith.quant.config import METHOD

__all__ = [
    "check_output",
    "has_tokenizer",
    "load_model",
    "load_tokenizer",
    "quiet",
    "replace_folder",
    "save_quantized",
]

TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.*", "spiece.model")
WEIGHTS = ("*.safetensors", "*.bin", "*.safetensors.index.json")


def load_model(
    name: str | Path, dtype: torch.dtype | str = torch.float32, device: str = "cpu"
) -> Any:
    """A causal language model from a folder or a Hugging Face id, in evaluation mode.

    A quantized folder comes back as it was saved, scales in float32. `dtype` "auto" keeps the
    file's. ValueError or OSError if there is no such model, the folder has no weights, a file is
    damaged, or a weight is missing (transformers would fill it with random numbers).
    """
    from transformers import AutoModelForCausalLM

    _check_folder(name)
    with quiet(), _one_line(f"model {str(name)!r}"):
        model, info = _local_first(
            AutoModelForCausalLM, name, dtype=dtype, output_loading_info=True
        )
        if getattr(model, "quantization_method", METHOD) != METHOD:
            # Another library's may unpack its weights only now, and show how far it is.
            model.eval()(input_ids=torch.zeros(1, 1, dtype=torch.int64, device=model.device))
    if missing := sorted(info["missing_keys"]):
        raise ValueError(
            f"model {str(name)!r}: {len(missing)} weights are missing, the first is {missing[0]!r}"
        )
    return model.to(device).eval()


def load_tokenizer(name: str | Path) -> Any:
    """The tokenizer of a folder or Hugging Face id; ValueError or OSError if it has none."""
    from transformers import AutoTokenizer

    if Path(name).is_dir() and not has_tokenizer(name):
        raise FileNotFoundError(f"model folder {str(name)!r} has no tokenizer (tokenizer.json)")
    with quiet(), _one_line(f"tokenizer of {str(name)!r}"):
        return _local_first(AutoTokenizer, name)


def has_tokenizer(name: str | Path) -> bool:
    """Whether a folder holds a tokenizer's files; transformers would invent an empty one."""
    return any(any(Path(name).glob(pattern)) for pattern in TOKENIZERS)


def save_quantized(model: Any, folder: str | Path, tokenizer: Any = None) -> Path:
    """Write a quantized transformers model (and its tokenizer) as a folder, all of it or nothing.

    `AutoModelForCausalLM.from_pretrained(folder)` restores it bit for bit after `import
    macsmith.quant`. An existing folder is replaced only if it is empty or a quantized one.
    """
    if getattr(model, "quantization_method", None) != METHOD:
        raise ValueError("the model is not quantized by macsmith: call quantize_ first")
    with replace_folder(folder) as partial, quiet():
        model.save_pretrained(partial)
        if tokenizer is not None:
            tokenizer.save_pretrained(partial)
    return Path(folder)


@contextmanager
def replace_folder(folder: str | Path) -> Iterator[Path]:
    """A fresh folder to write into, which takes `folder`'s place at the end.

    If anything fails it is removed and `folder` stays as it was. OSError in one line if the place
    cannot be written, or holds something that is not ours.
    """
    folder = check_output(folder)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    replaced = partial.with_suffix(".old")
    _remove_left(folder)
    with _one_line(f"cannot write {str(folder)!r}"):
        try:
            partial.mkdir(parents=True)
            yield partial
            for file in partial.iterdir():
                file.chmod(0o644)  # safetensors writes files that only their owner can read
            if folder.exists():
                os.replace(folder, replaced)  # never a half of it under its name
            os.replace(partial, folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            _put_back(replaced, folder)


def _remove_left(folder: Path) -> None:
    """What runs that were killed have left of `replace_folder`'s."""
    for left in folder.parent.glob(f".{glob.escape(folder.name)}.*"):
        pid, _, end = left.name.removeprefix(f".{folder.name}.").partition(".")
        if not pid.isdecimal() or _runs(int(pid)):
            continue
        if end == "tmp":
            shutil.rmtree(left, ignore_errors=True)
        elif end == "old":
            _put_back(left, folder)


def _put_back(replaced: Path, folder: Path) -> None:
    """Remove what ``folder`` has taken the place of; if it has not, undo it."""
    if replaced.exists() and not folder.exists():
        os.replace(replaced, folder)
    shutil.rmtree(replaced, ignore_errors=True)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass  # another user's, or no process number: not ours to remove
    return True


def check_output(folder: str | Path) -> Path:
    """`folder` as an absolute path without links; FileExistsError if it has what is not ours.

    Worth calling before long work: it also finds a parent that is a file.
    """
    folder = Path(folder).resolve()  # a path through the folder itself ends when it is moved
    if folder.is_dir():
        if any(folder.iterdir()) and _quantization(folder).get("quant_method") != METHOD:
            raise FileExistsError(
                f"output {str(folder)!r} is not empty and no quantized model: name another folder"
            )
    elif folder.exists():
        raise FileExistsError(f"output {str(folder)!r} is a file: wanted a folder")
    existing = next(parent for parent in folder.parents if parent.exists())
    try:
        tempfile.TemporaryDirectory(dir=existing).cleanup()  # permissions alone do not tell
    except OSError:
        raise PermissionError(
            f"cannot write {str(folder)!r}: {str(existing)!r} is not writable"
        ) from None
    return folder


def _local_first(auto: Any, name: str | Path, **options: Any) -> Any:
    """`auto.from_pretrained`, from the Hub only if neither folder nor cache has it.

    The other way round a cached model takes half a minute of retries where there is no network.
    """
    try:
        return auto.from_pretrained(str(name), local_files_only=True, **options)
    except OSError:
        if Path(name).is_dir():
            raise
        return auto.from_pretrained(str(name), **options)


def _quantization(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / "config.json").read_text("utf-8"))["quantization_config"]
    except (OSError, ValueError, KeyError):
        return {}


def _check_folder(name: str | Path) -> None:
    folder = Path(name)
    if not folder.exists() and (folder.is_absolute() or str(name).startswith((".", "~"))):
        raise FileNotFoundError(f"model {str(name)!r}: no such folder")
    if folder.is_file():
        raise NotADirectoryError(f"model {str(name)!r} is a file: wanted a folder")
    if not folder.is_dir():
        return  # a Hugging Face id
    files = sorted(file.name for file in folder.iterdir())
    if "config.json" not in files:
        raise FileNotFoundError(f"model folder {str(name)!r} has no config.json: {_list(files)}")
    if not any(any(folder.glob(pattern)) for pattern in WEIGHTS):
        raise FileNotFoundError(
            f"model folder {str(name)!r} has no weights (model.safetensors): {_list(files)}"
        )


def _list(files: list[str]) -> str:
    return f"it has {', '.join(files[:6])}{' ...' if len(files) > 6 else ''}" if files else "empty"


@contextmanager
def _one_line(what: str) -> Iterator[None]:
    """Errors of the libraries below as ValueError or OSError whose text is one line."""
    try:
        yield
    except OSError as error:
        text = error.strerror or _first_line(error)
        raise OSError(f"{what}: {text}") from error
    except Exception as error:  # whatever a library makes of a user's files is about those files
        raise ValueError(f"{what}: {type(error).__name__}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), repr(error))


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars, load reports and retries on the screen: what matters is raised here.

    Not all of it asks before it writes: standard error goes nowhere meanwhile.
    """
    from huggingface_hub.utils import logging as hub
    from transformers.utils import logging

    bars, levels = logging.is_progress_bar_enabled(), (logging.get_verbosity(), hub.get_verbosity())
    logging.disable_progress_bar()
    for library in (logging, hub):
        library.set_verbosity(logging.CRITICAL)
    try:
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        for library, level in zip((logging, hub), levels, strict=True):
            library.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
