"""What goes wrong in AdamW."""

from autograder.instructor.contract import Edit, FileEdit, Mistake

ADAM = "Kingma & Ba 2014"
DECAY = "Loshchilov & Hutter 2017"
SHRINK = 'p.mul_(1 - group["lr"] * group["weight_decay"])'
LOOP = "            for p in parameters:\n                self._update(p, self.state[p], group)\n"

BANK = [
    Mistake(
        "decay_by_corrected_step",
        "weight decay scaled by the bias-corrected step size",
        f"Decay by lr * weight_decay, with the plain learning rate ({DECAY}, algorithm 2)",
        [Edit("adamw", SHRINK, 'p.mul_(1 - step * group["weight_decay"])')],
    ),
    Mistake(
        "l2_in_gradient",
        "L2 regularisation added to the gradient",
        f"Decoupled decay shrinks the parameter itself, after the update ({DECAY}, algorithm 2)",
        [
            Edit("adamw", SHRINK, "pass"),
            Edit("adamw", "beta1, beta2 =", 'p.grad.add_(p, alpha=group["weight_decay"])\nbeta1, beta2 ='),
        ],
    ),
    Mistake(
        "decay_in_update",
        "weight decay added to the Adam direction and scaled by the bias-corrected step",
        f"Decay apart from the update, by lr * weight_decay ({DECAY}, algorithm 2)",
        [
            Edit("adamw", SHRINK, "pass"),
            Edit(
                "adamw",
                'p.addcdiv_(m, v.sqrt().add_(group["eps"]), value=-step)',
                'p.sub_(step * (m / (v.sqrt() + group["eps"]) + group["weight_decay"] * p))',
            ),
        ],
    ),
    Mistake(
        "decay_with_wrong_sign",
        "weight decay that makes parameters grow",
        f"Decay subtracts lr * weight_decay * p ({DECAY}, algorithm 2)",
        [Edit("adamw", SHRINK, 'p.mul_(1 + group["lr"] * group["weight_decay"])')],
    ),
    Mistake(
        "decay_without_rate",
        "weight decay without the learning rate",
        "The decay is lr * weight_decay * p",
        [Edit("adamw", SHRINK, 'p.mul_(1 - group["weight_decay"])')],
    ),
    Mistake(
        "decay_by_a_constant",
        "a constant lr * weight_decay subtracted from every element",
        "The decay is proportional to the parameter: lr * weight_decay * p",
        [Edit("adamw", SHRINK, 'p.sub_(group["lr"] * group["weight_decay"])')],
    ),
    Mistake(
        "decay_twice",
        "weight decay applied twice",
        "Decay once a step",
        [Edit("adamw", SHRINK, SHRINK + "\n" + SHRINK)],
    ),
    Mistake(
        "no_decay",
        "no weight decay",
        f"After the update take lr * weight_decay * p away ({DECAY}, algorithm 2)",
        [Edit("adamw", SHRINK, "pass")],
    ),
    Mistake(
        "return_in_loop_over_groups",
        "only the first group moving",
        "Return after the loops over groups and parameters, not inside",
        [FileEdit("optimizer.py", LOOP, LOOP + "            return loss\n")],
    ),
    Mistake(
        "return_in_loop_over_parameters",
        "only the first parameter of the first group moving",
        "Return after the loops over groups and parameters, not inside",
        [FileEdit("optimizer.py", LOOP, LOOP + "                return loss\n")],
    ),
    Mistake(
        "defaults_in_place_of_group",
        "the constructor's settings used for every group",
        "Read lr, betas, eps and weight_decay from the group, not from self.defaults",
        [Edit("adamw", "if not state:", "group = self.defaults\nif not state:")],
    ),
    Mistake(
        "corrected_moments_kept",
        "bias-corrected moments written back into the state",
        f"m and v stay uncorrected in the state; correct copies of them ({ADAM}, algorithm 1)",
        [
            Edit(
                "adamw",
                'step *= math.sqrt(1 - beta2 ** state["step"]) / (1 - beta1 ** state["step"])',
                'm.div_(1 - beta1 ** state["step"])\n    v.div_(1 - beta2 ** state["step"])',
            )
        ],
    ),
    Mistake(
        "step_counted_per_group",
        "steps counted once for every parameter of the group together",
        "Count the step in self.state[p], for each parameter by itself",
        [
            Edit(
                "adamw",
                'state["step"] += 1',
                'group["count"] = group.get("count", 0) + 1\nstate["step"] = group["count"]',
            ),
        ],
    ),
    Mistake(
        "step_not_counted",
        "the bias correction of the first step at every step",
        'Add 1 to state["step"] at every call',
        [Edit("adamw", 'state["step"] += 1', 'state["step"] = 1')],
    ),
    Mistake(
        "step_counted_late",
        "steps counted from 0, or the correction skipped at first",
        "The first step has t = 1",
        [
            Edit(
                "adamw",
                'step *= math.sqrt(1 - beta2 ** state["step"]) / (1 - beta1 ** state["step"])',
                't = max(state["step"] - 1, 1)\n    step *= math.sqrt(1 - beta2**t) / (1 - beta1**t)',
            )
        ],
    ),
    Mistake(
        "eps_inside_root",
        "eps added inside the root",
        f"The denominator is sqrt(v) + eps ({ADAM}, algorithm 1)",
        [Edit("adamw", 'v.sqrt().add_(group["eps"])', '(v + group["eps"]).sqrt()')],
    ),
    Mistake(
        "no_eps",
        "no eps",
        f"The denominator is sqrt(v) + eps ({ADAM}, algorithm 1)",
        [Edit("adamw", 'v.sqrt().add_(group["eps"])', "v.sqrt()")],
    ),
    Mistake(
        "no_bias_correction",
        "no bias correction",
        f"Scale the step by sqrt(1 - beta2^t) / (1 - beta1^t) ({ADAM}, end of section 2)",
        [Edit("adamw", 'if group["correct_bias"]:', "if False:")],
    ),
    Mistake(
        "always_corrected",
        "bias correction even with correct_bias=False",
        'Correct only if group["correct_bias"]',
        [Edit("adamw", 'if group["correct_bias"]:', "if True:")],
    ),
    Mistake(
        "correction_without_root",
        "the second moment's correction without its root",
        f"The step is lr * sqrt(1 - beta2^t) / (1 - beta1^t) ({ADAM}, end of section 2)",
        [Edit("adamw", 'math.sqrt(1 - beta2 ** state["step"])', '(1 - beta2 ** state["step"])')],
    ),
    Mistake(
        "correction_upside_down",
        "the bias correction inverted",
        f"The step is lr * sqrt(1 - beta2^t) / (1 - beta1^t) ({ADAM}, end of section 2)",
        [
            Edit(
                "adamw",
                'step *= math.sqrt(1 - beta2 ** state["step"]) / (1 - beta1 ** state["step"])',
                'step *= (1 - beta1 ** state["step"]) / math.sqrt(1 - beta2 ** state["step"])',
            )
        ],
    ),
    Mistake(
        "betas_swapped",
        "beta1 and beta2 exchanged",
        f"beta1 is for the gradients, beta2 for their squares ({ADAM}, algorithm 1)",
        [Edit("adamw", 'beta1, beta2 = group["betas"]', 'beta2, beta1 = group["betas"]')],
    ),
    Mistake(
        "v_of_gradient",
        "the second moment without the square",
        f"v averages g * g ({ADAM}, algorithm 1)",
        [Edit("adamw", "addcmul_(p.grad, p.grad, value=1 - beta2)", "add_(p.grad.abs(), alpha=1 - beta2)")],
    ),
    Mistake(
        "no_root",
        "division by v in place of its root",
        f"The denominator is sqrt(v) + eps ({ADAM}, algorithm 1)",
        [Edit("adamw", 'v.sqrt().add_(group["eps"])', '(v + group["eps"])')],
    ),
    Mistake(
        "uphill",
        "a step up the gradient",
        "Subtract the update",
        [Edit("adamw", "value=-step)", "value=step)")],
    ),
    Mistake(
        "state_reset",
        "running means that start anew at every step",
        "Make m and v only when self.state[p] is empty",
        [Edit("adamw", "if not state:", "if True:")],
    ),
    Mistake(
        "state_shared",
        "one state for all parameters, made for the first",
        "Keep the running means in self.state[p], which each parameter has of its own",
        [Edit("adamw", "if not state:", "state = self.state\nif 'step' not in state:")],
    ),
]
