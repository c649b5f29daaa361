"""What goes wrong in rotary position embeddings."""

from autograder.instructor.contract import Body, Edit, Mistake

PAPER = "Su et al. 2021"

BANK = [
    Mistake(
        "negative_angle",
        "rotation by the negative angle",
        f"Check the sign of the sine terms ({PAPER}, equation 34)",
        [Edit("rope", "pairs * turns)", "pairs * turns.conj())")],
    ),
    Mistake(
        "real_and_imaginary_swapped",
        "real and imaginary part of each pair swapped on return",
        f"The first channel of a pair is a cos t - b sin t, the second a sin t + b cos t ({PAPER}, equation 34)",
        [Edit("rope", ".flatten(-2).type_as(x)", ".flip(-1).flatten(-2).type_as(x)")],
    ),
    Mistake(
        "halves_as_pairs",
        "channels paired as halves, i with i + D/2",
        f"Pairs are neighbours here, (x0, x1), (x2, x3), ... ({PAPER}, equation 15)",
        [
            Edit(
                "rope",
                """pairs = torch.view_as_complex(x.to(real).unflatten(-1, (-1, 2)))  # (B, T, heads, D/2)
    return torch.view_as_real(pairs * turns).flatten(-2).type_as(x)""",
                """pairs = torch.complex(*x.to(real).chunk(2, dim=-1)) * turns
    return torch.cat((pairs.real, pairs.imag), dim=-1).type_as(x)""",
            )
        ],
    ),
    Mistake(
        "halves_on_return",
        "all first channels of the pairs put before all second ones on return",
        "Put the two channels of a pair back beside each other: stack on a new last axis, then flatten",
        [
            Edit(
                "rope",
                "return torch.view_as_real(pairs * turns).flatten(-2).type_as(x)",
                "return torch.view_as_real(pairs * turns).transpose(-1, -2).flatten(-2).type_as(x)",
            )
        ],
    ),
    Mistake(
        "one_frequency",
        "every pair turning by a whole radian a position",
        f"Pair i turns by theta^(-2i/D) radians a position ({PAPER}, section 3.2.2)",
        [
            Edit(
                "rope_frequencies",
                "theta ** (-torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)",
                "torch.ones(head_dim // 2, dtype=torch.float64)",
            )
        ],
    ),
    Mistake(
        "exponent_off_by_one",
        "frequencies that start with the second one",
        f"i counts from 0, so the first pair turns by a whole radian ({PAPER}, section 3.2.2)",
        [
            Edit(
                "rope_frequencies",
                "torch.arange(0, head_dim, 2, dtype=torch.float64)",
                "torch.arange(2, head_dim + 2, 2, dtype=torch.float64)",
            )
        ],
    ),
    Mistake(
        "exponent_not_doubled",
        "the exponent -i/D in place of -2i/D",
        f"The exponent of pair i is -2i/D ({PAPER}, section 3.2.2)",
        [
            Edit(
                "rope_frequencies",
                "-torch.arange(0, head_dim, 2, dtype=torch.float64)",
                "-torch.arange(0, head_dim // 2, dtype=torch.float64)",
            )
        ],
    ),
    Mistake(
        "exponent_not_divided",
        "the exponent not divided by head_dim",
        f"The exponent of pair i is -2i/D, between -1 and 0 ({PAPER}, section 3.2.2)",
        [Edit("rope_frequencies", " / head_dim)", ")")],
    ),
    Mistake(
        "theta_ignored",
        "the base 10000 whatever theta says",
        "Use the argument theta",
        [Edit("rope_frequencies", "theta ** (", "10000.0 ** (")],
    ),
    Mistake(
        "positive_exponent",
        "frequencies theta^(2i/D), the inverse of the right ones",
        f"The exponent is negative: later pairs turn more slowly ({PAPER}, section 3.2.2)",
        [Edit("rope_frequencies", "theta ** (-torch", "theta ** (torch")],
    ),
    Mistake(
        "positions_from_one",
        "positions counted from 1",
        "The first position is 0 and turns nothing",
        [
            Edit(
                "rope_frequencies",
                "position = torch.arange(length, dtype=torch.float64)",
                "position = torch.arange(1, length + 1, dtype=torch.float64)",
            )
        ],
    ),
    Mistake(
        "positions_ignored",
        "every position turned by the angles of position 1",
        f"The angle of a pair is its frequency times the position ({PAPER}, equation 15)",
        [Edit("rope", "turns[:T] if positions is None", "turns[1:2] if positions is None")],
    ),
    Mistake(
        "positions_backwards",
        "positions counted from the end of the sequence",
        "The first token is at position 0",
        [Edit("rope", "turns[:T] if positions is None", "turns[:T].flip(0) if positions is None")],
    ),
    Mistake(
        "heads_as_positions",
        "positions counted along the heads",
        "Let the angles vary along axis 1, the sequence, and be the same for every head",
        [
            Body(
                "rope",
                """
turns = rotations(head_dim, max(max_seq_len, query.shape[2]), theta, torch.complex64, query.device)

def rotate(x):
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turns[: x.shape[2]]).flatten(-2).type_as(x)

return rotate(query), rotate(key)
""",
            )
        ],
    ),
    Mistake(
        "only_query",
        "only the query rotated",
        "Rotate query and key; a score depends on both angles",
        [Edit("rope", "return rotate(query), rotate(key)", "return rotate(query), key")],
    ),
    Mistake(
        "key_from_query",
        "the key computed from the query",
        "The second result is the rotated key",
        [
            Edit(
                "rope", "return rotate(query), rotate(key)", "return rotate(query), rotate(query)[:, :, : key.shape[2]]"
            )
        ],
    ),
    Mistake(
        "swapped_results",
        "key returned first, query second",
        "Return the query, then the key",
        [Edit("rope", "return rotate(query), rotate(key)", "return rotate(key), rotate(query)")],
    ),
    Mistake(
        "axes_transposed",
        "heads and positions swapped on return",
        "Return (B, T, heads, D), as it came in",
        [
            Edit(
                "rope",
                "return rotate(query), rotate(key)",
                "return rotate(query).transpose(1, 2), rotate(key).transpose(1, 2)",
            )
        ],
    ),
    Mistake(
        "equal_heads_assumed",
        "query and key rotated together, as if they had the same number of heads",
        "Query and key may differ in heads (grouped-query attention); rotate each by itself",
        [Edit("rope", "return rotate(query), rotate(key)", "return tuple(rotate(torch.stack((query, key))).unbind())")],
    ),
]
