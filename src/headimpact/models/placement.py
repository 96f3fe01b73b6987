"""Where a model goes and in what numbers: one device or several, whole or quantised."""

import dataclasses
from typing import Any

import torch
from accelerate import dispatch_model
from torch import nn
from transformers import BitsAndBytesConfig, PretrainedConfig

from headimpact.core.errors import OptionError
from headimpact.core.extras import require_extra
from headimpact.core.registry import unknown_name_message

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
"""Names of number formats that `load_model` takes besides `auto`."""

QUANTIZATIONS = ("4bit", "8bit")
"""Ways to load weights in fewer bits."""

DEVICE_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")
"""Ways in which Accelerate spreads a model over this machine's devices."""


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where weights go.

    Attributes:
        device: Where inputs go, and the whole model unless it is spread.
        dtype: Number format, or `auto` for the checkpoint's own.
        device_map: How the model is spread over several devices; None for one device.
        quantization: One of `QUANTIZATIONS`, or None for whole numbers of bits as in the checkpoint.
    """

    device: torch.device
    dtype: torch.dtype | str
    device_map: str | None = None
    quantization: str | None = None

    @classmethod
    def resolve(
        cls, *, device: str, dtype: str, device_map: str | None = None, quantization: str | None = None
    ) -> "Placement":
        """Turn what the user named into what this machine has.

        Args:
            device: As for `resolve_device`.
            dtype: As for `resolve_dtype`.
            device_map: One of `DEVICE_MAPS`, or None.
            quantization: One of `QUANTIZATIONS`, or None.

        Raises:
            OptionError: If a name is unknown, the machine has no such device, or device and device map are both given.
            MissingExtraError: If quantisation's package is not installed.
        """
        if device_map is not None and device_map not in DEVICE_MAPS:
            raise OptionError(unknown_name_message("--device-map", device_map, DEVICE_MAPS))
        if device_map is not None and device != "auto":
            raise OptionError(
                f"--device {device} and --device-map {device_map} contradict each other: one device or several? Leave "
                "one of them out."
            )
        if quantization is not None and quantization not in QUANTIZATIONS:
            raise OptionError(unknown_name_message("--quantization", quantization, QUANTIZATIONS))
        if quantization is not None:
            require_extra("bitsandbytes", extra="quantization", purpose=f"--quantization {quantization}")
        place = resolve_device(device)
        return cls(place, resolve_dtype(dtype, place), device_map, quantization)

    def loading_options(self, config: PretrainedConfig) -> dict[str, Any]:
        """Give what `from_pretrained` needs to know beside the number format; nothing for a plain model.

        A checkpoint that was saved quantised cannot be moved afterwards either, so it too is loaded into its place.

        Args:
            config: The checkpoint's config.
        """
        options: dict[str, Any] = {}
        if self.device_map is not None or self.quantization is not None or saved_quantization(config):
            options["device_map"] = self.device_map or {"": self.device}
        if self.quantization == "8bit":
            options["quantization_config"] = BitsAndBytesConfig(load_in_8bit=True)
        elif self.quantization == "4bit":
            compute = torch.bfloat16 if self.dtype == "auto" else self.dtype
            options["quantization_config"] = BitsAndBytesConfig(
                load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=compute
            )
        return options


def saved_quantization(config: PretrainedConfig) -> str | None:
    """Give the way in which a checkpoint was saved quantised: one of `QUANTIZATIONS`, another method's name, or None.

    Args:
        config: The checkpoint's config.
    """
    saved = getattr(config, "quantization_config", None)
    if saved is None:
        return None
    content = saved if isinstance(saved, dict) else saved.to_dict()
    bits = [name for name in QUANTIZATIONS if content.get(f"load_in_{name}")]
    return bits[0] if bits else str(getattr(content["quant_method"], "value", content["quant_method"]))


def keep_layout(model: nn.Module) -> None:
    """Let bitsandbytes leave 4-bit weights in the layout that they were loaded in.

    On a CPU with AVX-512 BF16 it lays them out anew, in place, in the first pass that needs no gradients. From then on
    a layer gives other numbers (scales in bfloat16), fails where its input is narrower than a block of 64, and passes
    no gradients on, so that an adapter below it learns from the residual path alone.

    Args:
        model: Any model, before its first pass.

    Source:
        bitsandbytes 0.50, nn/modules.py, `Linear4bit.forward`; autograd/_functions.py, `matmul_4bit`.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            vars(module)["support_avx512bf16_for_cpu"] = False


def spread_like(model: nn.Module, other: Any, device: torch.device) -> nn.Module:
    """Put a model where another of the same architecture is.

    Args:
        model: On the CPU.
        other: The model to follow.
        device: Where it goes if the other is not spread.
    """
    spread = getattr(other, "hf_device_map", None)
    if spread and len(set(spread.values())) > 1:
        dispatched: nn.Module = dispatch_model(model, device_map=spread)
        return dispatched
    return model.to(device)


def resolve_device(name: str) -> torch.device:
    """Turn a device name into a device that this machine has.

    Args:
        name: `auto` or a torch device.

    Raises:
        OptionError: If the name is no device, or this machine has none of it.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        here = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
        reason = str(error).splitlines()[0] if name in here else f"torch {torch.__version__} finds {', '.join(here)}"
        raise OptionError(
            f"Device {name!r} cannot be used: {reason}. Pass auto or one of {', '.join(here)}."
        ) from error
    return device


def resolve_dtype(name: str, device: torch.device) -> torch.dtype | str:
    """Turn a number format's name into what transformers takes.

    Args:
        name: `auto` or one of `DTYPES`.
        device: Where the model will be.

    Returns:
        The format, or `auto` for the checkpoint's own.

    Raises:
        OptionError: If the name is unknown.
    """
    if name == "auto":
        return torch.float32 if device.type == "cpu" else "auto"
    if name not in DTYPES:
        raise OptionError(unknown_name_message("dtype", name, ["auto", *DTYPES]))
    return DTYPES[name]
