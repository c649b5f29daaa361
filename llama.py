"""The model: Llama 2 (Touvron et al. 2023), small enough to read in one sitting.

Shapes: B batch, T sequence, H query heads, K key/value heads, D head_dim, C model dim, F feed-forward dim,
V vocabulary, S positions a query can look at (T, plus what the cache holds).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from base_llama import Context, KVCache, LlamaConfig, LlamaPreTrainedModel
from config import default_hidden_dim
from rope import apply_rotary_emb
from sampling import sample


class RMSNorm(nn.Module):
    """Root mean square normalisation (Zhang & Sennrich 2019, https://arxiv.org/abs/1910.07467, equation 4).

    ``RMSNorm(x) = weight * x / sqrt(mean(x^2) + eps)``, over the last axis: like LayerNorm without the mean.
    """

    def __init__(self, dim: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def _norm(self, x: torch.Tensor) -> torch.Tensor:
        """``x / sqrt(mean(x^2) + eps)``: (..., C) -> (..., C). ``eps`` goes inside the root; no weight here."""
        ### BEGIN SOLUTION rmsnorm
        return x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + self.eps)
        ### END SOLUTION rmsnorm

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., C) -> (..., C). The mean of squares is taken in float32 at least: bfloat16 is too coarse."""
        return self._norm(x.to(torch.promote_types(x.dtype, torch.float32))).type_as(x) * self.weight


class LayerNorm(nn.Module):
    """Layer normalisation (Ba et al. 2016, https://arxiv.org/abs/1607.06450, equation 4).

    ``LayerNorm(x) = weight * (x - mean(x)) / sqrt(var(x) + eps) + bias``, over the last axis. The variance is the
    biased one: divided by C, not C - 1.
    """

    def __init__(self, dim: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def _norm(self, x: torch.Tensor) -> torch.Tensor:
        """``(x - mean) / sqrt(var + eps)``: (..., C) -> (..., C). No weight and no bias here."""
        ### BEGIN SOLUTION layernorm
        centred = x - x.mean(dim=-1, keepdim=True)
        return centred * torch.rsqrt(centred.square().mean(dim=-1, keepdim=True) + self.eps)
        ### END SOLUTION layernorm

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., C) -> (..., C), the statistics in float32 at least."""
        normed = self._norm(x.to(torch.promote_types(x.dtype, torch.float32))).type_as(x)
        return normed * self.weight + self.bias


NORMS = {"rmsnorm": RMSNorm, "layernorm": LayerNorm}


class Attention(nn.Module):
    """Grouped-query attention (Ainslie et al. 2023, https://arxiv.org/abs/2305.13245).

    H query heads share K key/value heads, H/K of them each: nearly as good as H full heads, with a cache K/H the
    size. K = H is ordinary multi-head attention.
    """

    def __init__(self, config: LlamaConfig, layer_id: int = 0) -> None:
        super().__init__()
        self.layer_id = layer_id
        self.n_heads = config.n_heads
        self.n_kv_heads = config.n_kv_heads
        self.head_dim = config.head_dim
        self.max_seq_len = config.max_seq_len
        self.rope_theta = config.rope_theta
        self.causal = config.causal
        self.compute_query = nn.Linear(config.dim, self.n_heads * self.head_dim, bias=False)
        self.compute_key = nn.Linear(config.dim, self.n_kv_heads * self.head_dim, bias=False)
        self.compute_value = nn.Linear(config.dim, self.n_kv_heads * self.head_dim, bias=False)
        self.compute_output = nn.Linear(self.n_heads * self.head_dim, config.dim, bias=False)
        self.attn_dropout = nn.Dropout(config.dropout)
        self.resid_dropout = nn.Dropout(config.dropout)

    def compute_query_key_value_scores(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Scaled dot-product attention (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, equation 1).

        ``softmax(Q K^T / sqrt(D)) V``, for all heads at once. A key that may not be looked at gets the score
        minus infinity *before* the softmax, so its weight is exactly 0 and the others still sum to 1. Apply
        ``self.attn_dropout`` to the weights, before they meet the values.

        Args:
            query: (B, H, T, D).
            key, value: (B, H, S, D). With a cache S > T, and the T queries are the *last* T of the S positions.
            mask: (B, 1, T, S) booleans, True where a query may look. None: if ``self.causal``, every query sees
                its own position and those before it; otherwise it sees all.

        Returns:
            (B, H, T, D).
        """
        ### BEGIN SOLUTION attention
        T, S = query.shape[-2], key.shape[-2]
        # A sum of D products of variance 1 has variance D; divided by its root, scores do not saturate the softmax.
        scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])  # (B, H, T, S)
        # A single query is the last position, which may see everything. The T queries are the last T of S positions,
        # so the diagonal of the triangle begins S - T columns further right.
        if mask is None and self.causal and T > 1:
            mask = torch.ones(T, S, dtype=torch.bool, device=query.device).tril(diagonal=S - T)
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        # Sums of thousands of exponentials need float32, whatever the weights are stored in.
        weights = F.softmax(scores, dim=-1, dtype=torch.promote_types(scores.dtype, torch.float32))
        weights = self.attn_dropout(weights.type_as(query))
        return weights @ value  # (B, H, T, S) x (B, H, S, D) -> (B, H, T, D)
        ### END SOLUTION attention

    def forward(self, x: torch.Tensor, context: Context | None = None) -> torch.Tensor:
        """Project, rotate, attend, merge the heads, project back: (B, T, C) -> (B, T, C)."""
        context = context or Context()
        B, T, _ = x.shape
        query = self.compute_query(x).view(B, T, self.n_heads, self.head_dim)
        key = self.compute_key(x).view(B, T, self.n_kv_heads, self.head_dim)
        value = self.compute_value(x).view(B, T, self.n_kv_heads, self.head_dim)
        query, key = apply_rotary_emb(
            query, key, self.head_dim, self.max_seq_len, theta=self.rope_theta, positions=context.positions
        )

        query = query.transpose(1, 2)  # (B, H, T, D)
        key, value = key.transpose(1, 2), value.transpose(1, 2)  # (B, K, T, D)
        if context.cache is not None:
            key, value = context.cache.append(self.layer_id, key, value)  # (B, K, S, D)
        output = self._attend(query, key, value, context.mask)  # (B, H, T, D)
        output = output.transpose(1, 2).reshape(B, T, -1)  # (B, T, H*D)
        return self.resid_dropout(self.compute_output(output))

    def _attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None
    ) -> torch.Tensor:
        """Let query heads (B, H, T, D) share key/value heads (B, K, S, D): -> (B, H, T, D)."""
        B, H, T, D = query.shape
        K, S = key.shape[1], key.shape[2]
        # Decoding reads the whole cache for one token, and reading it is what takes the time. So no key is copied: the
        # H/K queries that share a head become rows of one product, as if they were H/K positions.
        if T == 1:
            query = query.reshape(B, K, H // K, D)
            # Rows are queries of one position here, so a triangle would be wrong: all of them see all S positions.
            mask = key.new_ones(1, 1, 1, S, dtype=torch.bool) if mask is None else mask
            return self.compute_query_key_value_scores(query, key, value, mask).reshape(B, H, 1, D)
        # For many positions a plain product over H heads is faster, and the copies are small beside the scores: every
        # key/value head is repeated for the H/K query heads of its group, neighbours sharing one.
        if H != K:
            key, value = (x.unsqueeze(2).expand(B, K, H // K, S, D).reshape(B, H, S, D) for x in (key, value))
        return self.compute_query_key_value_scores(query, key, value, mask)


class FeedForward(nn.Module):
    """Position-wise feed-forward network with a SwiGLU gate (Shazeer 2020, https://arxiv.org/abs/2002.05202)."""

    def __init__(self, dim: int, hidden_dim: int | None, multiple_of: int, dropout: float) -> None:
        super().__init__()
        hidden_dim = hidden_dim or default_hidden_dim(dim, multiple_of)
        self.w1 = nn.Linear(dim, hidden_dim, bias=False)
        self.w2 = nn.Linear(hidden_dim, dim, bias=False)
        self.w3 = nn.Linear(dim, hidden_dim, bias=False)
        self.dropout = nn.Dropout(dropout)

    def SwiGLU(self, x: torch.Tensor) -> torch.Tensor:
        """``silu(w1 x) * (w3 x)``, where ``silu(z) = z * sigmoid(z)``: (..., C) -> (..., F)."""
        return F.silu(self.w1(x)) * self.w3(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., C) -> (..., C)."""
        return self.dropout(self.w2(self.SwiGLU(x)))


class LlamaLayer(nn.Module):
    """One transformer layer: attention, then feed-forward, each with its own norm and its own shortcut."""

    def __init__(self, layer_id: int, config: LlamaConfig) -> None:
        super().__init__()
        self.layer_id = layer_id
        self.attention = Attention(config, layer_id)
        self.feed_forward = FeedForward(config.dim, config.hidden_dim, config.multiple_of, config.dropout)
        self.attention_norm = NORMS[config.norm](config.dim, eps=config.layer_norm_eps)
        self.ffn_norm = NORMS[config.norm](config.dim, eps=config.layer_norm_eps)

    def forward(self, x: torch.Tensor, context: Context | None = None) -> torch.Tensor:
        """(B, T, C) -> (B, T, C), pre-norm (Touvron et al. 2023a, section 2.2).

        1. Normalise x with ``attention_norm`` and let ``attention`` look around; give it ``context`` unchanged.
        2. Add the result to x: the shortcut carries the input as it came, not as normalised.
        3. Normalise that sum with ``ffn_norm`` and run ``feed_forward``.
        4. Add the result to the sum of step 2.
        """
        ### BEGIN SOLUTION layer
        h = x + self.attention(self.attention_norm(x), context)
        return h + self.feed_forward(self.ffn_norm(h))
        ### END SOLUTION layer


class Llama(LlamaPreTrainedModel):
    """Token embeddings, a stack of layers, a last norm, and a projection onto the vocabulary.

    The projection shares its matrix with the embeddings (Press & Wolf 2017) unless the config says otherwise.
    """

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__(config)
        self.params = config
        self.tok_embeddings = nn.Embedding(config.vocab_size, config.dim)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(LlamaLayer(layer_id, config) for layer_id in range(config.n_layers))
        self.norm = NORMS[config.norm](config.dim, eps=config.layer_norm_eps)
        self.output = nn.Linear(config.dim, config.vocab_size, bias=False)
        if config.tie_embeddings:
            self.tok_embeddings.weight = self.output.weight
        self.init_weights()

    def forward(
        self,
        tokens: torch.Tensor,
        targets: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        cache: KVCache | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Run the model.

        Args:
            tokens: (B, T) token ids, T at most the window.
            targets: given when every position will be predicted, as in training; only whether it is None matters.
            attention_mask: (B, S), 1 for real tokens and 0 for padding, on whichever side. None: all real.
            cache: filled by this call; ``tokens`` then are only the new ones, T of S positions.

        Returns:
            logits (B, 1, V) of the last position, or (B, T, V) if targets are given; hidden states (B, T, C)
            after the last norm.

        Raises:
            ValueError: more positions than the window holds.
        """
        context = self._context(tokens, attention_mask, cache)
        h = self.dropout(self.tok_embeddings(tokens))  # (B, T, C)
        for layer in self.layers:
            h = layer(h, context)
        if cache is not None:
            cache.advance(tokens.shape[1])
        h = self.norm(h)
        logits = self.output(h if targets is not None else h[:, [-1], :])
        return logits, h

    def _context(self, tokens: torch.Tensor, attention_mask: torch.Tensor | None, cache: KVCache | None) -> Context:
        """Where the tokens stand and what each may look at."""
        T = tokens.shape[1]
        S = T if cache is None else cache.length + T
        if S > self.config.max_seq_len:
            raise ValueError(f"{S} tokens do not fit the window of {self.config.max_seq_len}; shorten the input")
        # Nothing is padded: attention's own triangle will do, and only a cache moves the positions.
        if attention_mask is None:
            positions = None if S == T else torch.arange(S - T, S, device=tokens.device)
            return Context(positions, None, cache)

        real = attention_mask.bool()  # (B, S)
        # Padding does not count: the first real token of a row stands at 0 wherever it is, as if the row were alone.
        # What is before it would get -1; nobody sees it, so any position will do.
        positions = (real.cumsum(dim=1) - 1).clamp(min=0)[:, S - T :]  # (B, T)
        mask = real[:, None, None, :].expand(-1, 1, T, S)  # one mask for all heads and layers
        if self.config.causal:
            mask = mask & torch.ones(T, S, dtype=torch.bool, device=tokens.device).tril(diagonal=S - T)
        # A padding token may look at itself: with nothing to look at its softmax would be NaN, and NaN spreads.
        mask = mask | torch.eye(S, dtype=torch.bool, device=tokens.device)[S - T :]
        return Context(positions, mask, cache)  # mask: (B, 1, T, S)

    @torch.inference_mode()
    def generate(
        self,
        idx: torch.Tensor,
        max_new_tokens: int,
        temperature: float = 1.0,
        epsilon: float = 0.0,
        top_k: int | None = None,
        top_p: float | None = None,
        attention_mask: torch.Tensor | None = None,
        stop_ids: Collection[int] = (),
        generator: torch.Generator | None = None,
        on_token: Callable[[torch.Tensor], None] | None = None,
    ) -> torch.Tensor:
        """Continue every row of ``idx`` by up to ``max_new_tokens`` tokens, each fed back to predict the next.

        Call ``eval()`` first, or dropout will make the text worse and different every time. When a row outgrows
        the window, the model sees its last ``max_seq_len`` tokens.

        Args:
            idx: (B, T) token ids, T at least 1. Shorter prompts of a batch are padded on the *left*.
            max_new_tokens: 0 gives the prompt back.
            temperature, epsilon, top_k, top_p, generator: how a token is chosen, see ``sampling.sample``.
            attention_mask: (B, T), 0 for the padding of ``idx``. None: no padding.
            stop_ids: a row that produces one of these is finished; it repeats that id while others go on.
            on_token: called with the (B, 1) new tokens of every step, for streaming.

        Returns:
            (B, T + new) token ids, the prompt included.
        """
        if idx.shape[1] == 0:
            raise ValueError("generate: the prompt is empty; start it with the tokenizer's bos_id")
        # A row that is done stays in the batch, for its tensors are one with the others'; it repeats its last token.
        finished = torch.zeros(idx.shape[0], 1, dtype=torch.bool, device=idx.device)
        cache = self._new_cache(idx, max_new_tokens)
        for _ in range(max_new_tokens):
            logits = self._next_logits(idx, attention_mask, cache)  # (B, V)
            ### BEGIN SOLUTION generate
            idx_next = sample(logits, temperature, epsilon, top_k, top_p, generator)  # (B, 1)
            ### END SOLUTION generate
            idx_next = torch.where(finished, idx[:, -1:], idx_next)
            idx = torch.cat((idx, idx_next), dim=1)  # (B, T + 1)
            if attention_mask is not None:
                attention_mask = F.pad(attention_mask, (0, 1), value=1)
            if on_token is not None:
                on_token(idx_next)
            for stop_id in stop_ids:
                finished |= idx_next == stop_id
            if stop_ids and finished.all():
                break
        return idx

    def _new_cache(self, idx: torch.Tensor, max_new_tokens: int) -> KVCache:
        capacity = min(idx.shape[1] + max_new_tokens, self.config.max_seq_len)
        return KVCache(self.config, idx.shape[0], capacity, self.dtype, self.device)

    def _next_logits(self, idx: torch.Tensor, attention_mask: torch.Tensor | None, cache: KVCache) -> torch.Tensor:
        """Logits for the token after ``idx``: (B, T) -> (B, V), running only over tokens not yet in the cache."""
        window = self.config.max_seq_len
        if idx.shape[1] <= window:
            logits, _ = self(idx[:, cache.length :], attention_mask=attention_mask, cache=cache)
        else:  # the oldest token falls out and every position shifts, so nothing cached is right any more
            if attention_mask is not None:
                attention_mask = attention_mask[:, -window:]
            logits, _ = self(idx[:, -window:], attention_mask=attention_mask)
        return logits[:, -1]


def load_pretrained(checkpoint: str | Path, dtype: torch.dtype = torch.float32, **overrides) -> Llama:
    """The model stored in a checkpoint of any known format (see ``LlamaPreTrainedModel.from_checkpoint``)."""
    return Llama.from_checkpoint(checkpoint, dtype=dtype, **overrides)
