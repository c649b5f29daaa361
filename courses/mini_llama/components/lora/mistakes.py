"""What goes wrong in LoRA."""

from functools import partial

from autograder.instructor.contract import Edit, FileEdit, wrong

PAPER = "Hu et al. 2021"
FORWARD = f"{PAPER}, section 4.1, equation 3"
SCALING = f"{PAPER}, section 4.1"
RATIO = f"The scaling is alpha / rank ({SCALING})"
ADDED = f"Add it to original_layer(x) ({FORWARD})"
ROWS = f"W x + B A x: with rows as inputs that is x A^T B^T ({FORWARD})"
BASE = "self.original_layer(x)"
ADAPTER = "(x @ self.lora_A.T @ self.lora_B.T)"
FREEZE = "original_layer.requires_grad_(False)"
INIT_A = "nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))"

edit = partial(Edit, "lora")
in_file = partial(FileEdit, "lora.py")

BANK = wrong(
    no_scaling=edit("self.scaling * ", "").matches(
        "the adapter without its scaling", f"Multiply the adapter's output by alpha / rank ({SCALING})"
    ),
    scaling_twice=edit("self.scaling * ", "self.scaling**2 * ").matches(
        "the scaling applied twice", f"Multiply by alpha / rank once ({SCALING})"
    ),
    alpha_times_rank=in_file("self.scaling = alpha / rank", "self.scaling = alpha * rank").matches(
        "scaling by alpha * rank", RATIO
    ),
    rank_over_alpha=in_file("self.scaling = alpha / rank", "self.scaling = rank / alpha").matches(
        "scaling by rank / alpha", RATIO
    ),
    alpha_alone=edit("self.scaling", "self.alpha").matches("scaling by alpha, not divided by the rank", RATIO),
    alpha_ignored=edit("self.scaling * ", "1 / self.rank * ").matches("scaling by 1 / rank, without alpha", RATIO),
    root_of_rank=edit("self.scaling", "self.alpha / math.sqrt(self.rank)").matches(
        "scaling by alpha / sqrt(rank), which is rank-stabilised LoRA's", RATIO
    ),
    whole_output_scaled=edit(f"{BASE} + self.scaling * {ADAPTER}", f"self.scaling * ({BASE} + {ADAPTER})").matches(
        "the scaling applied to the linear layer's output as well", f"Only the adapter's output is scaled ({FORWARD})"
    ),
    linear_layer_left_out=edit(f"{BASE} + ", "").matches("the adapter's output alone", ADDED),
    adapter_left_out=edit(f" + self.scaling * {ADAPTER}", "").matches(
        "the linear layer's output alone", f"Add (alpha / rank) * B A x to it ({FORWARD})"
    ),
    adapter_subtracted=edit(f"{BASE} + ", f"{BASE} - ").matches("the adapter's output subtracted", ADDED),
    bias_forgotten=edit(BASE, "x @ self.original_layer.weight.T").matches(
        "the linear layer's weight used without its bias", f"Call original_layer, which knows its bias ({FORWARD})"
    ),
    bias_in_adapter_too=edit(
        ADAPTER, "nn.functional.linear(x @ self.lora_A.T, self.lora_B, self.original_layer.bias)"
    ).matches(
        "the bias added both in the linear layer and in the adapter",
        f"The adapter B A x has no bias of its own ({FORWARD})",
    ),
    nonlinear=edit("x @ self.lora_A.T @", "torch.relu(x @ self.lora_A.T) @").matches(
        "a nonlinearity between A and B", f"The update is the matrix product B A, with nothing between ({FORWARD})"
    ),
    factors_transposed=in_file(
        "new_empty(rank, original_layer.in_features)", "new_empty(original_layer.in_features, rank)"
    )
    .then(
        in_file("new_zeros(original_layer.out_features, rank)", "new_zeros(rank, original_layer.out_features)"),
        edit(ADAPTER, "(x @ self.lora_A @ self.lora_B)"),
    )
    .matches(
        "lora_A of shape (in, rank) and lora_B of shape (rank, out)",
        f"B is (out, rank) and A is (rank, in), so that B A has W's shape ({SCALING})",
    ),
    product_transposed=edit(ADAPTER, "(x @ (self.lora_B @ self.lora_A))").matches(
        "the product B A multiplied from the wrong side", ROWS
    ),
    factors_not_transposed=edit(ADAPTER, "(x @ self.lora_A @ self.lora_B)").matches(
        "x multiplied by A, not by its transpose", ROWS
    ),
    both_random=in_file(INIT_A, INIT_A + "\n        " + INIT_A.replace("lora_A", "lora_B")).matches(
        "both factors random", f"B starts at zero, so that a fresh adapter changes nothing ({SCALING})"
    ),
    both_zero=in_file(INIT_A, "nn.init.zeros_(self.lora_A)").matches(
        "both factors zero", f"A starts random: where both are zero, neither gets a gradient ({SCALING})"
    ),
    zero_and_random_exchanged=in_file(
        INIT_A, INIT_A.replace("lora_A", "lora_B") + "\n        nn.init.zeros_(self.lora_A)"
    ).matches("A zero and B random", f"A starts random and B at zero ({SCALING})"),
    constant_factor=in_file(INIT_A, "nn.init.ones_(self.lora_A)").matches(
        "an A with the same number everywhere",
        f"A starts random: equal rows stay equal, as if the rank were 1 ({SCALING})",
    ),
    base_trained=in_file(FREEZE, "original_layer.requires_grad_(True)").matches(
        "a linear layer that is trained as well",
        f"Freeze the original layer: requires_grad_(False) on its parameters ({SCALING})",
    ),
    adapter_detached=edit(ADAPTER, "(x @ self.lora_A.data.T @ self.lora_B.data.T)").matches(
        "an adapter that gets no gradient",
        f"Only A and B are trained: use them as parameters, not .data, .detach() or no_grad ({SCALING})",
    ),
    one_factor_detached=edit("self.lora_A.T", "self.lora_A.detach().T").matches(
        "an A that gets no gradient", f"Both A and B are trained ({SCALING})"
    ),
)
