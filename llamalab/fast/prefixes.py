"""The hidden state of each row's last token, without computing anything twice or for nobody.

A classifier reads one position of each row. Three things that ``Llama.forward`` computes then go unread, and training
spends most of its time on them:

- padding: here the rows of a batch are a list of tokens, and only attention sees them as a rectangle;
- prefixes that several rows share, at the least BOS: in a causal model their hidden states are the same, so the batch
  becomes a tree of prefixes, and each of its nodes is computed once;
- in the last layer, every query but those of the last tokens, and everything after it.

The numbers are those of ``Llama.forward``, up to rounding. ``read_last_tokens`` makes sure of it for the model at hand,
whose code a student may have written.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress

import torch
import torch.nn.functional as F
from torch import nn

from llamalab import course

TOLERANCE = 1e-3  # of the largest hidden value; rounding in float32 gives 1e-5


@dataclass(frozen=True)
class PrefixTree:
    """A batch of rows, B of them and up to T long, as the N distinct prefixes they have."""

    tokens: torch.Tensor  # (N,) the last token of each prefix
    positions: torch.Tensor  # (N,) where it stands
    nodes: torch.Tensor  # (B, T) which prefix ends at each place of the rectangle; 0 for padding
    owners: torch.Tensor  # (N,) one place of the flat rectangle (B * T) where the prefix ends
    lengths: torch.Tensor  # (B,)

    @property
    def last(self) -> torch.Tensor:
        """The whole rows: (B,) indices into the N prefixes."""
        return self.nodes.gather(1, self.lengths[:, None] - 1).squeeze(1)


def prefix_tree(rows: Sequence[Sequence[int]]) -> PrefixTree:
    """Find the prefixes that rows share.

    >>> tree = prefix_tree([[1, 5, 6], [1, 5, 7], [1]])
    >>> tree.tokens.tolist(), tree.nodes.tolist()
    ([1, 5, 6, 7], [[0, 1, 2], [0, 1, 3], [0, 0, 0]])
    """
    T = max(map(len, rows))
    children: dict[tuple[int, int], int] = {}  # (prefix, next token) -> longer prefix
    tokens, positions, owners, nodes = [], [], [], []
    for b, row in enumerate(rows):
        node, path = -1, []
        for t, token in enumerate(row):
            node = children.setdefault((node, token), len(tokens))
            if node == len(tokens):
                tokens.append(token)
                positions.append(t)
                owners.append(b * T + t)
            path.append(node)
        nodes.append(path + [0] * (T - len(path)))
    return PrefixTree(*map(torch.tensor, (tokens, positions, nodes, owners, [len(row) for row in rows])))


def last_hidden(llama: nn.Module, tree: PrefixTree) -> torch.Tensor:
    """Run a causal model over a tree: hidden states of the rows' last tokens after the last norm, (B, C)."""
    config = llama.config
    dtype = torch.promote_types(llama.dtype, torch.float32).to_complex()
    table = course.get("rope").rotations(config.head_dim, config.max_seq_len, config.rope_theta, dtype, llama.device)
    turns = table[tree.positions].unsqueeze(1)  # (N, 1, D/2)
    h = llama.tok_embeddings(tree.tokens)  # (N, C)
    for layer in llama.layers[:-1]:
        h = _after_attention(layer, h + _attend(layer, layer.attention_norm(h), turns, tree))
    layer = llama.layers[-1]
    h = _gather(h, tree.last) + _attend_last(layer, layer.attention_norm(h), turns, tree)  # (B, C)
    return llama.norm(_after_attention(layer, h))


def _after_attention(layer: nn.Module, h: torch.Tensor) -> torch.Tensor:
    return h + layer.feed_forward(layer.ffn_norm(h))


def _attend(layer: nn.Module, x: torch.Tensor, turns: torch.Tensor, tree: PrefixTree) -> torch.Tensor:
    """Attention of every prefix over its own prefixes: (N, C) -> (N, C)."""
    attention = layer.attention
    B, T = tree.nodes.shape
    query = _rotate(attention.compute_query(x).unflatten(-1, (attention.n_heads, -1)), turns)  # (N, H, D)
    key, value = _keys_values(attention, x, turns, tree)
    query = _gather(query, tree.nodes).transpose(1, 2)  # (B, H, T, D)
    output = F.scaled_dot_product_attention(query, key, value, is_causal=True)
    output = output.transpose(1, 2).reshape(B * T, -1)  # (B*T, C)
    return attention.compute_output(_gather(output, tree.owners))


def _attend_last(layer: nn.Module, x: torch.Tensor, turns: torch.Tensor, tree: PrefixTree) -> torch.Tensor:
    """Attention of the rows' last tokens alone: (N, C) -> (B, C)."""
    attention = layer.attention
    B, T = tree.nodes.shape
    query = attention.compute_query(_gather(x, tree.last)).unflatten(-1, (attention.n_heads, -1))
    query = _rotate(query, turns[tree.last]).unsqueeze(2)  # (B, H, 1, D)
    key, value = _keys_values(attention, x, turns, tree)
    real = torch.arange(T, device=x.device) < tree.lengths[:, None]  # (B, T)
    output = F.scaled_dot_product_attention(query, key, value, attn_mask=real[:, None, None])
    return attention.compute_output(output.reshape(B, -1))


def _keys_values(
    attention: nn.Module, x: torch.Tensor, turns: torch.Tensor, tree: PrefixTree
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the rows look at, laid out as a rectangle, one key/value head for each query head: two (B, H, T, D)."""
    H, K = attention.n_heads, attention.n_kv_heads
    key = _rotate(attention.compute_key(x).unflatten(-1, (K, -1)), turns)  # (N, K, D)
    value = attention.compute_value(x).unflatten(-1, (K, -1))
    rectangles = (_gather(each, tree.nodes).transpose(1, 2) for each in (key, value))  # (B, K, T, D)
    key, value = (each.repeat_interleave(H // K, dim=1) if H != K else each for each in rectangles)
    return key, value


def _gather(x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """``x[index]``, as a lookup in a table: its gradient adds up in the same order every time, and indexing's does not.

    (N, ...) by indices of any shape -> (index shape, ...).
    """
    return F.embedding(index, x.flatten(1)).unflatten(-1, x.shape[1:])


def _rotate(x: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    """RoPE, as in rope.py: (N, heads, D) by (N, 1, D/2) complex numbers."""
    pairs = torch.view_as_complex(x.to(turns.real.dtype).unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turns).flatten(-2).type_as(x)


def read_last_tokens(llama: nn.Module) -> bool:
    """Let a model that only a classifier reads take the short way from now on, if it leads to the same place.

    The model's ``forward`` is replaced by one whose hidden states are those of each row's last real token at every
    position of the row, and whose logits are None.

    Returns:
        whether it was replaced. Not, when the model is bidirectional or uses dropout (rows that share a prefix would
        share its dropout), or when its code computes something else; a note on stderr then says so.
    """
    if not llama.config.causal or llama.config.dropout:
        return False
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randint(llama.config.vocab_size, (length,), generator=generator).tolist() for length in (9, 5)]
    rows.append(rows[0][:7])
    was_training = llama.training
    llama.eval()
    with torch.no_grad():
        written = torch.stack([llama(torch.tensor([row], device=llama.device))[1][0, -1] for row in rows])
        try:
            short = last_hidden(llama, _to(prefix_tree(rows), llama.device))
            same = torch.allclose(short, written, rtol=0, atol=TOLERANCE * float(written.abs().max()))
        except (AttributeError, TypeError, RuntimeError):  # parts of another name or shape
            same = False
    llama.train(was_training)
    if not same:
        print("note: this model computes something else than Llama 2; running it as written, slower", file=sys.stderr)
        return False
    llama.forward = _LastTokens(llama)
    return True


class _LastTokens:
    """Stands in for the ``forward`` of one model."""

    def __init__(self, llama: nn.Module) -> None:
        self.llama = llama

    def __call__(self, tokens: torch.Tensor, attention_mask: torch.Tensor | None = None) -> tuple[None, torch.Tensor]:
        """(B, T) -> None, (B, T, C)."""
        B, T = tokens.shape
        rows = tokens.tolist()
        if attention_mask is not None:
            rows = [list(compress(row, real)) for row, real in zip(rows, attention_mask.tolist(), strict=True)]
        hidden = last_hidden(self.llama, _to(prefix_tree(rows), tokens.device))  # (B, C)
        return None, hidden.unsqueeze(1).expand(B, T, -1)


def _to(tree: PrefixTree, device: torch.device) -> PrefixTree:
    return PrefixTree(**{name: value.to(device) for name, value in vars(tree).items()})
