"""What goes wrong in LoRA."""

from autograder.instructor.contract import Edit, FileEdit, Mistake

PAPER = "Hu et al. 2021"
FORWARD = f"{PAPER}, section 4.1, equation 3"
SCALING = f"{PAPER}, section 4.1"
BASE = "self.original_layer(x)"
ADAPTER = "(x @ self.lora_A.T @ self.lora_B.T)"
FREEZE = "original_layer.requires_grad_(False)"
INIT_A = "nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))"

BANK = [
    Mistake(
        "no_scaling",
        "the adapter without its scaling",
        f"Multiply the adapter's output by alpha / rank ({SCALING})",
        [Edit("lora", "self.scaling * ", "")],
    ),
    Mistake(
        "scaling_twice",
        "the scaling applied twice",
        f"Multiply by alpha / rank once ({SCALING})",
        [Edit("lora", "self.scaling * ", "self.scaling**2 * ")],
    ),
    Mistake(
        "alpha_times_rank",
        "scaling by alpha * rank",
        f"The scaling is alpha / rank ({SCALING})",
        [FileEdit("lora.py", "self.scaling = alpha / rank", "self.scaling = alpha * rank")],
    ),
    Mistake(
        "rank_over_alpha",
        "scaling by rank / alpha",
        f"The scaling is alpha / rank ({SCALING})",
        [FileEdit("lora.py", "self.scaling = alpha / rank", "self.scaling = rank / alpha")],
    ),
    Mistake(
        "alpha_alone",
        "scaling by alpha, not divided by the rank",
        f"The scaling is alpha / rank ({SCALING})",
        [Edit("lora", "self.scaling", "self.alpha")],
    ),
    Mistake(
        "alpha_ignored",
        "scaling by 1 / rank, without alpha",
        f"The scaling is alpha / rank ({SCALING})",
        [Edit("lora", "self.scaling * ", "1 / self.rank * ")],
    ),
    Mistake(
        "root_of_rank",
        "scaling by alpha / sqrt(rank), which is rank-stabilised LoRA's",
        f"The scaling is alpha / rank ({SCALING})",
        [Edit("lora", "self.scaling", "self.alpha / math.sqrt(self.rank)")],
    ),
    Mistake(
        "whole_output_scaled",
        "the scaling applied to the linear layer's output as well",
        f"Only the adapter's output is scaled ({FORWARD})",
        [Edit("lora", f"{BASE} + self.scaling * {ADAPTER}", f"self.scaling * ({BASE} + {ADAPTER})")],
    ),
    Mistake(
        "linear_layer_left_out",
        "the adapter's output alone",
        f"Add it to original_layer(x) ({FORWARD})",
        [Edit("lora", f"{BASE} + ", "")],
    ),
    Mistake(
        "adapter_left_out",
        "the linear layer's output alone",
        f"Add (alpha / rank) * B A x to it ({FORWARD})",
        [Edit("lora", f" + self.scaling * {ADAPTER}", "")],
    ),
    Mistake(
        "adapter_subtracted",
        "the adapter's output subtracted",
        f"Add it to original_layer(x) ({FORWARD})",
        [Edit("lora", f"{BASE} + ", f"{BASE} - ")],
    ),
    Mistake(
        "bias_forgotten",
        "the linear layer's weight used without its bias",
        f"Call original_layer, which knows its bias ({FORWARD})",
        [Edit("lora", BASE, "x @ self.original_layer.weight.T")],
    ),
    Mistake(
        "bias_in_adapter_too",
        "the bias added both in the linear layer and in the adapter",
        f"The adapter B A x has no bias of its own ({FORWARD})",
        [
            Edit(
                "lora",
                ADAPTER,
                "nn.functional.linear(x @ self.lora_A.T, self.lora_B, self.original_layer.bias)",
            )
        ],
    ),
    Mistake(
        "nonlinear",
        "a nonlinearity between A and B",
        f"The update is the matrix product B A, with nothing between ({FORWARD})",
        [Edit("lora", "x @ self.lora_A.T @", "torch.relu(x @ self.lora_A.T) @")],
    ),
    Mistake(
        "factors_transposed",
        "lora_A of shape (in, rank) and lora_B of shape (rank, out)",
        f"B is (out, rank) and A is (rank, in), so that B A has W's shape ({SCALING})",
        [
            FileEdit(
                "lora.py", "new_empty(rank, original_layer.in_features)", "new_empty(original_layer.in_features, rank)"
            ),
            FileEdit(
                "lora.py",
                "new_zeros(original_layer.out_features, rank)",
                "new_zeros(rank, original_layer.out_features)",
            ),
            Edit("lora", ADAPTER, "(x @ self.lora_A @ self.lora_B)"),
        ],
    ),
    Mistake(
        "product_transposed",
        "the product B A multiplied from the wrong side",
        f"W x + B A x: with rows as inputs that is x A^T B^T ({FORWARD})",
        [Edit("lora", ADAPTER, "(x @ (self.lora_B @ self.lora_A))")],
    ),
    Mistake(
        "factors_not_transposed",
        "x multiplied by A, not by its transpose",
        f"W x + B A x: with rows as inputs that is x A^T B^T ({FORWARD})",
        [Edit("lora", ADAPTER, "(x @ self.lora_A @ self.lora_B)")],
    ),
    Mistake(
        "both_random",
        "both factors random",
        f"B starts at zero, so that a fresh adapter changes nothing ({SCALING})",
        [FileEdit("lora.py", INIT_A, INIT_A + "\n        " + INIT_A.replace("lora_A", "lora_B"))],
    ),
    Mistake(
        "both_zero",
        "both factors zero",
        f"A starts random: where both are zero, neither gets a gradient ({SCALING})",
        [FileEdit("lora.py", INIT_A, "nn.init.zeros_(self.lora_A)")],
    ),
    Mistake(
        "zero_and_random_exchanged",
        "A zero and B random",
        f"A starts random and B at zero ({SCALING})",
        [FileEdit("lora.py", INIT_A, INIT_A.replace("lora_A", "lora_B") + "\n        nn.init.zeros_(self.lora_A)")],
    ),
    Mistake(
        "constant_factor",
        "an A with the same number everywhere",
        f"A starts random: equal rows stay equal, as if the rank were 1 ({SCALING})",
        [FileEdit("lora.py", INIT_A, "nn.init.ones_(self.lora_A)")],
    ),
    Mistake(
        "base_trained",
        "a linear layer that is trained as well",
        f"Freeze the original layer: requires_grad_(False) on its parameters ({SCALING})",
        [FileEdit("lora.py", FREEZE, "original_layer.requires_grad_(True)")],
    ),
    Mistake(
        "adapter_detached",
        "an adapter that gets no gradient",
        f"Only A and B are trained: use them as parameters, not .data, .detach() or no_grad ({SCALING})",
        [Edit("lora", ADAPTER, "(x @ self.lora_A.data.T @ self.lora_B.data.T)")],
    ),
    Mistake(
        "one_factor_detached",
        "an A that gets no gradient",
        f"Both A and B are trained ({SCALING})",
        [Edit("lora", "self.lora_A.T", "self.lora_A.detach().T")],
    ),
]
