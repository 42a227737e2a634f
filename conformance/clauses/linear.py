"""Clauses on LinearCrossEntropyLoss: the projection, its arguments and its options."""

from __future__ import annotations

from conformance.clauses.clause import Clause, every, on
from conformance.clauses.predicates import gradient_seen, k_dimensional_bias, some_ignored

CLAUSES = (
    Clause(
        id="linear.projection",
        sources=on(
            "000",
            "This criterion computes the cross entropy loss between input, linearly transformed "
            "to logits, and target.",
        ),
        check="The loss is that of the logits which the linear map makes of the input.",
        formula="z[n,c,d] = Σ_k x[n,k] · W[c,d,k] + b[c,d], ℓ = CrossEntropyLoss(z, y)",
        applies=every,
    ),
    Clause(
        id="linear.definition",
        sources=on("000", "See CrossEntropyLoss for the definition of cross entropy loss."),
        check=(
            "Everything on the pages of CrossEntropyLoss that defines the loss holds for the "
            "projected logits; gradients flow on to the input and the linear weight."
        ),
        formula=(
            "∂ℓ/∂x[n,k] = Σ_{c,d} ∂ℓ/∂z[n,c,d] · W[c,d,k], ∂ℓ/∂W[c,d,k] = Σ_n ∂ℓ/∂z[n,c,d] · x[n,k]"
        ),
        applies=gradient_seen,
    ),
    Clause(
        id="linear.keyword-only",
        sources=on("000", "(in_features, num_classes, *, out_features=(), bias=False, device=None"),
        check="Every argument after num_classes is given by name.",
        observable=False,
        why="The protocol passes every argument by its name; how an adapter writes it is its own.",
    ),
    Clause(
        id="linear.in-features",
        sources=(
            *on("000", "in_features (int) – Size of each input sample."),
            *on("000", "Input: Shape (infeatures)(in_features), (N,infeatures)(N, in_features)."),
        ),
        check="The last axis of the input has in_features elements; another size raises.",
        applies=every,
        breaks=("input-features",),
    ),
    Clause(
        id="linear.num-classes",
        sources=on("000", "num_classes (int) – Number of classes, CC."),
        check="The projection makes num_classes logits for each position: the C of every formula.",
        applies=every,
    ),
    Clause(
        id="linear.out-features.dimensions",
        sources=on(
            "000",
            "out_features (tuple[int], optional) – specifies dimensions (d1,d2,...,dK)"
            "(d_1, d_2, ..., d_K) for K-dimensional loss.",
        ),
        check="out_features=(d1, ..., dK) projects a sample to logits of shape (C, d1, ..., dK).",
        applies=lambda case: len(case.classes) > 1,
    ),
    Clause(
        id="linear.out-features.default-is-empty",
        sources=(
            *on("000", "(in_features, num_classes, *, out_features=()"),
            *on("000", "for K-dimensional loss. Default: ()."),
        ),
        check="A call that leaves out_features out projects each sample to C logits.",
        applies=lambda case: len(case.classes) == 1,
    ),
    Clause(
        id="linear.input.unbatched",
        sources=on("000", "Input: Shape (infeatures)(in_features)"),
        check="An input of shape (in_features) is one sample.",
        applies=lambda case: len(case.shape) == 1,
    ),
    Clause(
        id="linear.input.batched",
        sources=on("000", "(N,infeatures)(N, in_features)."),
        check="An input of shape (N, in_features) is N samples.",
        applies=lambda case: len(case.shape) == 2,
    ),
    Clause(
        id="linear.input.no-other",
        sources=on(
            "000", "Input: Shape (infeatures)(in_features), (N,infeatures)(N, in_features)."
        ),
        check="An input of no or of more than two axes raises.",
        breaks=("input-scalar", "input-3d"),
    ),
    Clause(
        id="linear.bias.adds-to-logits",
        sources=on(
            "000",
            "bias (bool, optional) – If True, the internal Linear adds a learnable bias to the "
            "logits.",
        ),
        check="With bias=True the bias of each class and position is added to its logit.",
        formula="z[n,c,d] = Σ_k x[n,k] · W[c,d,k] + b[c,d]",
        applies=lambda case: case.bias == "yes",
    ),
    Clause(
        id="linear.bias.learnable",
        sources=on("000", "the internal Linear adds a learnable bias to the logits."),
        check="The bias has a gradient: that of the logits, summed over the samples.",
        formula="∂ℓ/∂b[c,d] = Σ_n ∂ℓ/∂z[n,c,d]",
        applies=lambda case: case.bias == "yes" and gradient_seen(case),
    ),
    Clause(
        id="linear.bias.default-is-false",
        sources=(
            *on("000", "out_features=(), bias=False"),
            *on("000", "the chunked path supports only (C,)-shaped bias. Default: False."),
        ),
        check="A call that leaves bias out adds none.",
        applies=lambda case: case.bias == "no",
    ),
    Clause(
        id="linear.bias.shape",
        sources=on("000", "Logical shape is (C, *out_features);"),
        check="The bias has one element for each class and position; another shape raises.",
        applies=lambda case: case.bias == "yes",
        breaks=("bias-shape",),
    ),
    Clause(
        id="linear.bias.flat-storage",
        sources=(
            *on(
                "000",
                "storage is flat (self.linear.bias.shape == (C * prod(out_features),)) for the "
                "same reason as self.linear.weight – reshaping happens in forward() before "
                "passing through to linear_cross_entropy() as linear_bias.",
            ),
        ),
        check=(
            "The module stores its K-dimensional bias flat, in the C order of its logical shape, "
            "and its forward() puts each element at its class and position."
        ),
        formula="bias[c · d1 · … · dK + d] of the storage is b[c,d]",
        applies=lambda case: case.form == "module" and k_dimensional_bias(case),
    ),
    Clause(
        id="linear.bias.k-dimensional-falls-back",
        sources=on(
            "000",
            "With options != None, K-dimensional bias (out_features != ()) falls back to the "
            "reference implementation",
        ),
        check=(
            "Options together with a K-dimensional bias do not raise: the call gives what it "
            "gives with options=None, repeated backward included."
        ),
        applies=lambda case: case.has_options and k_dimensional_bias(case),
    ),
    Clause(
        id="linear.bias.fallback-warns",
        sources=on("000", "falls back to the reference implementation with a warning;"),
        check="The fallback of a K-dimensional bias to the reference implementation warns.",
        observable=False,
        why="The protocol carries values and errors; it has no channel for warnings.",
    ),
    Clause(
        id="linear.bias.chunked",
        sources=on("000", "the chunked path supports only (C,)-shaped bias."),
        check="The chunked path computes a bias of shape (C,).",
        applies=lambda case: case.has_options and case.bias == "yes" and len(case.classes) == 1,
    ),
    Clause(
        id="linear.device",
        sources=on(
            "000",
            "device (torch.device, optional) – the desired device of linear weight. Default: None.",
        ),
        check="The linear weight is made on the given device.",
        observable=False,
        why="A case fixes values, not where they are placed; the protocol names no device.",
    ),
    Clause(
        id="linear.dtype",
        sources=on("000", "dtype (torch.dtype, optional) – the desired dtype of linear weight."),
        check=(
            "The module's linear weight has the desired dtype, and so have the loss and the "
            "gradient of the weight."
        ),
        applies=lambda case: case.form == "module" and case.dtype != "f32",
    ),
    Clause(
        id="linear.dtype.default-is-none",
        sources=(
            *on("000", "device=None, dtype=None"),
            *on("000", "the desired dtype of linear weight. Default: None."),
        ),
        check="A call that leaves dtype out makes the weight in the framework's own default dtype.",
        observable=False,
        why="Every case brings a weight of its own dtype; the page does not name the default one.",
    ),
    Clause(
        id="linear.ignore-index.default-is-minus-100",
        sources=(
            *on("000", "ignore_index=None"),
            *on(
                "000",
                "Default: None. When target contains class indices, the default value is mapped "
                "to -100.",
            ),
            *on(
                "000",
                "Note: the default ignore_index in CrossEntropyLoss is -100 for both target types.",
            ),
        ),
        check="A call that leaves ignore_index out (None) ignores class indices of −100.",
        target="index",
        applies=lambda case: case.ignore_index is None and some_ignored(case),
    ),
    Clause(
        id="linear.ignore-index.default-with-probabilities",
        sources=(
            *on("000", "Default: None. When target contains class indices"),
            *on(
                "000",
                "Note that ignore_index is only applicable when the target contains class indices.",
            ),
        ),
        check="With probabilities the default, None, ignores nothing and is no error.",
        target="prob",
        applies=lambda case: case.ignore_index is None,
    ),
    Clause(
        id="linear.options.default-is-none",
        sources=(
            *on("000", "label_smoothing=0.0, options=None)"),
            *on(
                "000",
                "To enable reference implementation of linear_cross_entropy with chunking "
                "disabled, use options=None.",
            ),
        ),
        check="Without options the reference implementation computes the loss, with any bias.",
        applies=lambda case: not case.has_options,
    ),
    Clause(
        id="linear.options.chunking",
        sources=on(
            "000",
            "options (LinearCrossEntropyOptions, optional) – Specify chunking strategy options, "
            "see LinearCrossEntropyOptions for more details.",
        ),
        check=(
            "Options choose how the work is cut into chunks and nothing else: loss and "
            "gradients are those of the formula. Options that name no strategy raise."
        ),
        applies=lambda case: case.has_options,
        breaks=("options-chunk", "options-method", "options-policy"),
    ),
    Clause(
        id="linear.options.not-scriptable",
        sources=(
            *on(
                "000",
                "Note: passing a non-None options makes the module incompatible with "
                "torch.jit.script(); see the note below.",
            ),
            *on("000", "options=None is scriptable; an options instance is not."),
        ),
        check="The module is scriptable with options=None and is not with an options instance.",
        observable=False,
        why="Scripting is tooling around the loss; a case calls it forward and backward only.",
    ),
    Clause(
        id="linear.options.unsupported-transforms",
        sources=on(
            "000",
            "The chunked path does not support higher-order AD, forward-mode AD, torch.func.grad "
            "/ vmap(grad(...)), or Inductor lowering; see "
            "torch.nn.functional.linear_cross_entropy().",
        ),
        check="The chunked path has a first-order backward pass and no other transform.",
        observable=False,
        why="A case asks for one forward and first-order backward passes, and for no transform.",
    ),
    Clause(
        id="linear.forward",
        sources=(
            *on("000", "forward(input, target)[source]#"),
            *on("000", "Runs the forward pass."),
            *on("000", "Return type: Tensor"),
        ),
        check="Calling the module with input and target runs the forward pass: it gives a tensor.",
        applies=lambda case: case.form == "module",
    ),
)
