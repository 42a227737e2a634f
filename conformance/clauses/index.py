"""Clauses on the loss of class indices."""

from __future__ import annotations

from conformance.clauses.clause import DEFINITION, LINEAR, Clause, on
from conformance.clauses.predicates import (
    averaged,
    some_counted,
    summed,
    unreduced,
    unsmoothed,
    weight_matters,
)

_UNREDUCED = r"l_n = - w_{y_n} \log \frac{\exp(x_{n,y_n})}{\sum_{c=1}^C \exp(x_{n,c})} \cdot"
_MEAN = r"\sum_{n=1}^N \frac{1}{\sum_{n=1}^N w_{y_n} \cdot"

CLAUSES = (
    Clause(
        id="index.unreduced.formula",
        sources=(
            *on("002", "This criterion computes the cross entropy loss between input and target."),
            *on(
                "002",
                r"l_n = -w_{y_n} \log \frac{\exp(x_{n,y_n})}{\sum_{c=1}^C \exp(x_{n,c})} \cdot "
                r"1\{y_n \neq \text{ignore_index}\}",
            ),
            *on("003", _UNREDUCED + r" \mathbb{1}\{y_n \not= \text{ignore_index}\}"),
            *on("004", _UNREDUCED + r" \mathbb{1}\{y_n \not= \text{ignore\_index}\}"),
            *on("004", "此准则计算输入 logits 与目标之间的交叉熵损失。"),
        ),
        check="Unreduced, each sample's loss is the negative log softmax at its target class.",
        formula=("l_n = −w[y_n] · log( exp(x[n,y_n]) / Σ_c exp(x[n,c]) ) · 1{y_n ≠ ignore_index}"),
        target="index",
        applies=lambda case: unreduced(case) and unsmoothed(case),
        also=DEFINITION,
    ),
    Clause(
        id="index.mean.formula",
        sources=(
            *on("002", _MEAN + r" 1\{y_n \neq \text{ignore_index}\}} l_n"),
            *on("003", _MEAN + r" \mathbb{1}\{y_n \not= \text{ignore_index}\}} l_n"),
            *on("004", _MEAN + r" \mathbb{1}\{y_n \not= \text{ignore\_index}\}} l_n"),
        ),
        check=(
            "The mean is the sum of the losses over the sum of the target weights of the targets "
            "that are not ignored."
        ),
        formula="ℓ = Σ_n l_n / Σ_n w[y_n] · 1{y_n ≠ ignore_index}",
        target="index",
        applies=averaged,
        also=LINEAR,
    ),
    Clause(
        id="index.mean.divides-by-target-weights",
        sources=(
            *on("000 003", "'mean': the weighted mean of the output is taken"),
            *on("002", "<code>'mean'</code>: the weighted mean of the output is taken"),
            *on("004", "'mean' :取输出加权平均值"),
        ),
        check=(
            "With class weights the mean divides by the sum of the weights of the target "
            "classes, not by the number of targets nor by the sum of all class weights."
        ),
        formula="ℓ = Σ_n l_n / Σ_n w[y_n] · 1{y_n ≠ ignore_index}, not Σ_n l_n / N",
        target="index",
        applies=lambda case: averaged(case) and weight_matters(case) and some_counted(case),
    ),
    Clause(
        id="index.sum.formula",
        sources=(
            *on(
                "002",
                r"1\{y_n \neq \text{ignore_index}\}} l_n, & \text{if reduction = 'mean'}; "
                r"\\ \sum_{n=1}^N l_n, & \text{if reduction = 'sum'}.",
            ),
            *on(
                "003",
                r"\text{ignore_index}\}} l_n, & \text{if reduction} = \text{'mean';}"
                r"\\ \sum_{n=1}^N l_n, & \text{if reduction} = \text{'sum'.}",
            ),
            *on(
                "004",
                r"\text{ignore\_index}\}} l_n, & \text{if reduction} = \text{`mean';}"
                r"\\ \sum_{n=1}^N l_n, & \text{if reduction} = \text{`sum'.}",
            ),
        ),
        check="The sum is the plain sum of the unreduced losses.",
        formula="ℓ = Σ_n l_n",
        target="index",
        applies=summed,
        also=DEFINITION,
    ),
    Clause(
        id="index.log-softmax-and-nll",
        sources=(
            *on(
                "002",
                "Note that this case is equivalent to the combination of [LogSoftmax](#) and "
                "[NLLLoss](#).",
            ),
            *on(
                "003",
                "Note that this case is equivalent to the combination of LogSoftmax and NLLLoss.",
            ),
            *on("003", "This criterion combines LogSoftmax and NLLLoss in one single class."),
            *on("004", "注意,这种情况等价于先对输入应用 LogSoftmax ,然后应用 NLLLoss"),
        ),
        check=(
            "Without smoothing the loss equals NLLLoss of LogSoftmax over the class axis, with "
            "the same weight, ignore_index and reduction."
        ),
        formula="l_n = −w[y_n] · p[n,y_n], p[n,c] = x[n,c] − log Σ_i exp(x[n,i])",
        target="index",
        applies=unsmoothed,
        also=DEFINITION,
    ),
)
