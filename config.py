"""Model configuration. Handed to the student complete.

    >>> config = LlamaConfig(dim=64, n_layers=2, n_heads=4, n_kv_heads=2)
    >>> config.head_dim, config.ffn_dim
    (16, 192)
"""

from __future__ import annotations

from typing import Any


def default_hidden_dim(dim: int, multiple_of: int) -> int:
    """Feed-forward width [F] of a model that does not state one.

    SwiGLU has three matrices where the classic layer has two, so 2/3 of the classic 4 * dim keeps the parameter
    count (Shazeer 2020, section 2); then rounded up to a multiple of ``multiple_of``.

    >>> default_hidden_dim(dim=512, multiple_of=32)
    1376
    """
    wanted = int(2 * 4 * dim / 3)
    return -(-wanted // multiple_of) * multiple_of


class LlamaConfig:
    """Shape and switches of a Llama. Every default is Llama 2's.

    Letters in brackets are the ones shape comments use throughout the project.

    Args:
        vocab_size: number of token ids [V].
        dim: width of the residual stream [C].
        dropout: dropout probability everywhere in the model; 0 for inference.
        n_layers: number of transformer layers.
        n_heads: query heads [H]; must divide ``dim``.
        n_kv_heads: key/value heads [K]; must divide ``n_heads``. None means as many as query heads.
        max_seq_len: the window: how many positions one forward pass may see.
        layer_norm_eps: epsilon inside the root of every norm.
        multiple_of: the feed-forward width is rounded up to a multiple of this.
        hidden_dim: feed-forward width [F]; None derives it (``default_hidden_dim``).
        norm: ``"rmsnorm"`` (Llama) or ``"layernorm"``.
        causal: a position sees only itself and what is before it. False gives a bidirectional encoder.
        rope_theta: base of the rotary frequencies.
        tie_embeddings: input and output embeddings are one matrix.
        **extra: anything else a checkpoint carries; kept as attributes, never an error.

    Raises:
        ValueError: a value that no model could have, named with the remedy.
    """

    model_type = "llama"

    def __init__(
        self,
        vocab_size: int = 32000,
        dim: int = 512,
        dropout: float = 0.0,
        n_layers: int = 8,
        n_heads: int = 8,
        n_kv_heads: int | None = 8,
        max_seq_len: int = 1024,
        layer_norm_eps: float = 1e-5,
        multiple_of: int = 32,
        hidden_dim: int | None = None,
        norm: str = "rmsnorm",
        causal: bool = True,
        rope_theta: float = 10000.0,
        tie_embeddings: bool = True,
        **extra: Any,
    ) -> None:
        self.vocab_size = vocab_size
        self.dim = dim
        self.dropout = dropout
        self.n_layers = n_layers
        self.n_heads = n_heads
        self.n_kv_heads = n_heads if n_kv_heads is None else n_kv_heads
        self.max_seq_len = max_seq_len
        self.layer_norm_eps = layer_norm_eps
        self.multiple_of = multiple_of
        self.hidden_dim = hidden_dim
        self.norm = norm
        self.causal = causal
        self.rope_theta = rope_theta
        self.tie_embeddings = tie_embeddings
        self._check()
        for name, value in extra.items():
            self._keep(name, value)

    @property
    def head_dim(self) -> int:
        """Channels per head [D]."""
        return self.dim // self.n_heads

    @property
    def ffn_dim(self) -> int:
        """Width of the feed-forward layer [F]."""
        return self.hidden_dim or default_hidden_dim(self.dim, self.multiple_of)

    def to_dict(self) -> dict[str, Any]:
        """All fields and extras, ready for JSON and for ``LlamaConfig(**...)``."""
        return dict(vars(self))

    def _keep(self, name: str, value: Any) -> None:
        """Store an extra, unless the name is already taken by something this class computes."""
        if not hasattr(type(self), name):
            setattr(self, name, value)
        elif value is not None and value != getattr(self, name):
            raise ValueError(f"config: {name} = {value!r} contradicts the other fields ({getattr(self, name)!r})")

    def _check(self) -> None:
        for name in ("vocab_size", "dim", "n_layers", "n_heads", "n_kv_heads", "max_seq_len", "multiple_of"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"config: {name} must be a positive whole number, not {value!r}")
        if self.dim % self.n_heads:
            raise ValueError(f"config: dim {self.dim} cannot be split evenly over {self.n_heads} heads")
        if self.head_dim % 2:
            raise ValueError(f"config: head_dim {self.head_dim} is odd, but RoPE rotates pairs of channels")
        if self.n_heads % self.n_kv_heads:
            raise ValueError(
                f"config: {self.n_heads} query heads cannot share {self.n_kv_heads} key/value heads evenly"
            )
        if self.norm not in ("rmsnorm", "layernorm"):
            raise ValueError(f'config: norm must be "rmsnorm" or "layernorm", not {self.norm!r}')

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"LlamaConfig({fields})"
