"""What goes wrong in rotary position embeddings."""

from functools import partial

from autograder.instructor.contract import Body, Edit, wrong

PAPER = "Su et al. 2021"
RESULT = "return rotate(query), rotate(key)"
TURNS = "turns[:T] if positions is None"
EXPONENTS = "torch.arange(0, head_dim, 2, dtype=torch.float64)"

body = partial(Body, "rope")
edit = partial(Edit, "rope")
in_frequencies = partial(Edit, "rope_frequencies")

BANK = wrong(
    negative_angle=edit("pairs * turns)", "pairs * turns.conj())").matches(
        "rotation by the negative angle", f"Check the sign of the sine terms ({PAPER}, equation 34)"
    ),
    real_and_imaginary_swapped=edit(".flatten(-2).type_as(x)", ".flip(-1).flatten(-2).type_as(x)").matches(
        "real and imaginary part of each pair swapped on return",
        f"The first channel of a pair is a cos t - b sin t, the second a sin t + b cos t ({PAPER}, equation 34)",
    ),
    halves_as_pairs=edit(
        """pairs = torch.view_as_complex(x.to(real).unflatten(-1, (-1, 2)))  # (B, T, heads, D/2)
    return torch.view_as_real(pairs * turns).flatten(-2).type_as(x)""",
        """pairs = torch.complex(*x.to(real).chunk(2, dim=-1)) * turns
    return torch.cat((pairs.real, pairs.imag), dim=-1).type_as(x)""",
    ).matches(
        "channels paired as halves, i with i + D/2",
        f"Pairs are neighbours here, (x0, x1), (x2, x3), ... ({PAPER}, equation 15)",
    ),
    halves_on_return=edit(
        "return torch.view_as_real(pairs * turns).flatten(-2).type_as(x)",
        "return torch.view_as_real(pairs * turns).transpose(-1, -2).flatten(-2).type_as(x)",
    ).matches(
        "all first channels of the pairs put before all second ones on return",
        "Put the two channels of a pair back beside each other: stack on a new last axis, then flatten",
    ),
    one_frequency=in_frequencies(
        "theta ** (-torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)",
        "torch.ones(head_dim // 2, dtype=torch.float64)",
    ).matches(
        "every pair turning by a whole radian a position",
        f"Pair i turns by theta^(-2i/D) radians a position ({PAPER}, section 3.2.2)",
    ),
    exponent_off_by_one=in_frequencies(EXPONENTS, "torch.arange(2, head_dim + 2, 2, dtype=torch.float64)").matches(
        "frequencies that start with the second one",
        f"i counts from 0, so the first pair turns by a whole radian ({PAPER}, section 3.2.2)",
    ),
    exponent_not_doubled=in_frequencies(
        "-torch.arange(0, head_dim, 2, dtype=torch.float64)", "-torch.arange(0, head_dim // 2, dtype=torch.float64)"
    ).matches("the exponent -i/D in place of -2i/D", f"The exponent of pair i is -2i/D ({PAPER}, section 3.2.2)"),
    exponent_not_divided=in_frequencies(" / head_dim)", ")").matches(
        "the exponent not divided by head_dim",
        f"The exponent of pair i is -2i/D, between -1 and 0 ({PAPER}, section 3.2.2)",
    ),
    theta_ignored=in_frequencies("theta ** (", "10000.0 ** (").matches(
        "the base 10000 whatever theta says", "Use the argument theta"
    ),
    positive_exponent=in_frequencies("theta ** (-torch", "theta ** (torch").matches(
        "frequencies theta^(2i/D), the inverse of the right ones",
        f"The exponent is negative: later pairs turn more slowly ({PAPER}, section 3.2.2)",
    ),
    positions_from_one=in_frequencies(
        "position = torch.arange(length, dtype=torch.float64)",
        "position = torch.arange(1, length + 1, dtype=torch.float64)",
    ).matches("positions counted from 1", "The first position is 0 and turns nothing"),
    positions_ignored=edit(TURNS, "turns[1:2] if positions is None").matches(
        "every position turned by the angles of position 1",
        f"The angle of a pair is its frequency times the position ({PAPER}, equation 15)",
    ),
    positions_backwards=edit(TURNS, "turns[:T].flip(0) if positions is None").matches(
        "positions counted from the end of the sequence", "The first token is at position 0"
    ),
    heads_as_positions=body("""
turns = rotations(head_dim, max(max_seq_len, query.shape[2]), theta, torch.complex64, query.device)

def rotate(x):
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turns[: x.shape[2]]).flatten(-2).type_as(x)

return rotate(query), rotate(key)
""").matches(
        "positions counted along the heads",
        "Let the angles vary along axis 1, the sequence, and be the same for every head",
    ),
    only_query=edit(RESULT, "return rotate(query), key").matches(
        "only the query rotated", "Rotate query and key; a score depends on both angles"
    ),
    key_from_query=edit(RESULT, "return rotate(query), rotate(query)[:, :, : key.shape[2]]").matches(
        "the key computed from the query", "The second result is the rotated key"
    ),
    swapped_results=edit(RESULT, "return rotate(key), rotate(query)").matches(
        "key returned first, query second", "Return the query, then the key"
    ),
    axes_transposed=edit(RESULT, "return rotate(query).transpose(1, 2), rotate(key).transpose(1, 2)").matches(
        "heads and positions swapped on return", "Return (B, T, heads, D), as it came in"
    ),
    equal_heads_assumed=edit(RESULT, "return tuple(rotate(torch.stack((query, key))).unbind())").matches(
        "query and key rotated together, as if they had the same number of heads",
        "Query and key may differ in heads (grouped-query attention); rotate each by itself",
    ),
)
