"""Tiny random models of every family that the lens must read, made from configurations alone."""

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

VOCABULARY = 96
_SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
}
_NEOX = {name: value for name, value in _SHAPE.items() if name not in ("num_key_value_heads", "head_dim")}

FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama", **_SHAPE},
    "smollm": {"model_type": "llama", **_SHAPE, "tie_word_embeddings": True},
    "olmo": {"model_type": "olmo", **_SHAPE},
    "olmo2": {"model_type": "olmo2", **_SHAPE},
    "qwen2": {"model_type": "qwen2", **_SHAPE},
    "qwen3": {"model_type": "qwen3", **_SHAPE},
    "gpt_neox": {"model_type": "gpt_neox", **_NEOX},
    "gemma": {"model_type": "gemma", **_SHAPE},
    "gemma2": {"model_type": "gemma2", **_SHAPE, "query_pre_attn_scalar": 8, "final_logit_softcapping": 2.0},
    "gemma3": {"model_type": "gemma3_text", **_SHAPE, "query_pre_attn_scalar": 8, "sliding_window": 512},
    "granite": {"model_type": "granite", **_SHAPE, "logits_scaling": 4.0},
    "cohere": {"model_type": "cohere", **_SHAPE, "logit_scale": 0.25},
    "gpt2": {
        "model_type": "gpt2",
        "vocab_size": VOCABULARY,
        "n_embd": 32,
        "n_layer": 3,
        "n_head": 4,
        "n_positions": 256,
    },
}

_MISTRAL = {"model_type": "mistral", **_SHAPE}
WITHOUT_REUSE: dict[str, dict[str, Any]] = {
    "mamba": {"model_type": "mamba", "hidden_size": 32, "num_hidden_layers": 3, "state_size": 4},
    "bloom": {"model_type": "bloom", "hidden_size": 32, "n_layer": 3, "n_head": 4},
    "phi": {"model_type": "phi", **_SHAPE},
    "openai-gpt": {"model_type": "openai-gpt", "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 256},
    "mistral": _MISTRAL | {"sliding_window": 32},
    "mistral_short": _MISTRAL | {"sliding_window": 200},
}


def new_model(config: dict[str, Any]) -> Any:
    """A model of a configuration with random float32 weights, in evaluation mode."""
    auto: Any = AutoModelForCausalLM
    return auto.from_config(AutoConfig.for_model(**config), dtype=torch.float32).eval()


def tiny_model(family: str = "llama", seed: int = 0, vocabulary: int = VOCABULARY) -> Any:
    """A random float32 model of a family; its weights are large enough that layers differ clearly."""
    torch.manual_seed(seed)
    model = new_model((FAMILIES | WITHOUT_REUSE)[family] | {"vocab_size": vocabulary})
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.mul_(6.0)
            else:
                weight.add_(0.3 * torch.rand_like(weight))
    return model
