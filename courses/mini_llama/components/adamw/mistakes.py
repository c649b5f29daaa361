"""What goes wrong in AdamW."""

from functools import partial

from autograder.instructor.contract import Edit, FileEdit, wrong

ADAM = "Kingma & Ba 2014"
DECAY = "Loshchilov & Hutter 2017"
SHRINK = 'p.mul_(1 - group["lr"] * group["weight_decay"])'
STEP = f"The step is lr * sqrt(1 - beta2^t) / (1 - beta1^t) ({ADAM}, end of section 2)"
DENOMINATOR = f"The denominator is sqrt(v) + eps ({ADAM}, algorithm 1)"
AFTER = "Return after the loops over groups and parameters, not inside"
CORRECTION = 'step *= math.sqrt(1 - beta2 ** state["step"]) / (1 - beta1 ** state["step"])'
ROOT = 'v.sqrt().add_(group["eps"])'
LOOP = "            for p in parameters:\n                self._update(p, self.state[p], group)\n"

edit = partial(Edit, "adamw")

BANK = wrong(
    decay_by_corrected_step=edit(SHRINK, 'p.mul_(1 - step * group["weight_decay"])').matches(
        "weight decay scaled by the bias-corrected step size",
        f"Decay by lr * weight_decay, with the plain learning rate ({DECAY}, algorithm 2)",
    ),
    l2_in_gradient=edit(SHRINK, "pass")
    .then(edit("beta1, beta2 =", 'p.grad.add_(p, alpha=group["weight_decay"])\nbeta1, beta2 ='))
    .matches(
        "L2 regularisation added to the gradient",
        f"Decoupled decay shrinks the parameter itself, after the update ({DECAY}, algorithm 2)",
    ),
    decay_in_update=edit(SHRINK, "pass")
    .then(
        edit(
            'p.addcdiv_(m, v.sqrt().add_(group["eps"]), value=-step)',
            'p.sub_(step * (m / (v.sqrt() + group["eps"]) + group["weight_decay"] * p))',
        )
    )
    .matches(
        "weight decay added to the Adam direction and scaled by the bias-corrected step",
        f"Decay apart from the update, by lr * weight_decay ({DECAY}, algorithm 2)",
    ),
    decay_with_wrong_sign=edit(SHRINK, 'p.mul_(1 + group["lr"] * group["weight_decay"])').matches(
        "weight decay that makes parameters grow", f"Decay subtracts lr * weight_decay * p ({DECAY}, algorithm 2)"
    ),
    decay_without_rate=edit(SHRINK, 'p.mul_(1 - group["weight_decay"])').matches(
        "weight decay without the learning rate", "The decay is lr * weight_decay * p"
    ),
    decay_by_a_constant=edit(SHRINK, 'p.sub_(group["lr"] * group["weight_decay"])').matches(
        "a constant lr * weight_decay subtracted from every element",
        "The decay is proportional to the parameter: lr * weight_decay * p",
    ),
    decay_twice=edit(SHRINK, SHRINK + "\n" + SHRINK).matches("weight decay applied twice", "Decay once a step"),
    no_decay=edit(SHRINK, "pass").matches(
        "no weight decay", f"After the update take lr * weight_decay * p away ({DECAY}, algorithm 2)"
    ),
    return_in_loop_over_groups=FileEdit("optimizer.py", LOOP, LOOP + "            return loss\n").matches(
        "only the first group moving", AFTER
    ),
    return_in_loop_over_parameters=FileEdit("optimizer.py", LOOP, LOOP + "                return loss\n").matches(
        "only the first parameter of the first group moving", AFTER
    ),
    defaults_in_place_of_group=edit("if not state:", "group = self.defaults\nif not state:").matches(
        "the constructor's settings used for every group",
        "Read lr, betas, eps and weight_decay from the group, not from self.defaults",
    ),
    corrected_moments_kept=edit(
        CORRECTION, 'm.div_(1 - beta1 ** state["step"])\n    v.div_(1 - beta2 ** state["step"])'
    ).matches(
        "bias-corrected moments written back into the state",
        f"m and v stay uncorrected in the state; correct copies of them ({ADAM}, algorithm 1)",
    ),
    step_counted_per_group=edit(
        'state["step"] += 1', 'group["count"] = group.get("count", 0) + 1\nstate["step"] = group["count"]'
    ).matches(
        "steps counted once for every parameter of the group together",
        "Count the step in self.state[p], for each parameter by itself",
    ),
    step_not_counted=edit('state["step"] += 1', 'state["step"] = 1').matches(
        "the bias correction of the first step at every step", 'Add 1 to state["step"] at every call'
    ),
    step_counted_late=edit(
        CORRECTION, 't = max(state["step"] - 1, 1)\n    step *= math.sqrt(1 - beta2**t) / (1 - beta1**t)'
    ).matches("steps counted from 0, or the correction skipped at first", "The first step has t = 1"),
    eps_inside_root=edit(ROOT, '(v + group["eps"]).sqrt()').matches("eps added inside the root", DENOMINATOR),
    no_eps=edit(ROOT, "v.sqrt()").matches("no eps", DENOMINATOR),
    no_bias_correction=edit('if group["correct_bias"]:', "if False:").matches(
        "no bias correction", f"Scale the step by sqrt(1 - beta2^t) / (1 - beta1^t) ({ADAM}, end of section 2)"
    ),
    always_corrected=edit('if group["correct_bias"]:', "if True:").matches(
        "bias correction even with correct_bias=False", 'Correct only if group["correct_bias"]'
    ),
    correction_without_root=edit('math.sqrt(1 - beta2 ** state["step"])', '(1 - beta2 ** state["step"])').matches(
        "the second moment's correction without its root", STEP
    ),
    correction_upside_down=edit(
        CORRECTION, 'step *= (1 - beta1 ** state["step"]) / math.sqrt(1 - beta2 ** state["step"])'
    ).matches("the bias correction inverted", STEP),
    betas_swapped=edit('beta1, beta2 = group["betas"]', 'beta2, beta1 = group["betas"]').matches(
        "beta1 and beta2 exchanged", f"beta1 is for the gradients, beta2 for their squares ({ADAM}, algorithm 1)"
    ),
    v_of_gradient=edit("addcmul_(p.grad, p.grad, value=1 - beta2)", "add_(p.grad.abs(), alpha=1 - beta2)").matches(
        "the second moment without the square", f"v averages g * g ({ADAM}, algorithm 1)"
    ),
    no_root=edit(ROOT, '(v + group["eps"])').matches("division by v in place of its root", DENOMINATOR),
    uphill=edit("value=-step)", "value=step)").matches("a step up the gradient", "Subtract the update"),
    state_reset=edit("if not state:", "if True:").matches(
        "running means that start anew at every step", "Make m and v only when self.state[p] is empty"
    ),
    state_shared=edit("if not state:", "state = self.state\nif 'step' not in state:").matches(
        "one state for all parameters, made for the first",
        "Keep the running means in self.state[p], which each parameter has of its own",
    ),
)
