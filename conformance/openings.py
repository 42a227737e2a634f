"""What the pages leave open: the question, the readings that answer it, and why it stays open.

:mod:`conformance.readings` works them out; every other result is acceptable in one way only.
"""

from __future__ import annotations

from dataclasses import dataclass

from .clauses.clause import Source, on


@dataclass(frozen=True)
class Opening:
    """A question to which the pages have no answer, or two.

    Attributes
    ----------
    what
        What the calls have in common whose result is open.
    readings
        The names of the answers, any of which a framework may give.
    why
        Why the words do not force one of them.
    sources
        The words.
    """

    what: str
    readings: tuple[str, ...]
    why: str
    sources: tuple[Source, ...]


_INDICATOR = r"\frac{\exp(x_{n,y_n})}{\sum_{c=1}^C \exp(x_{n,c})} \cdot 1\{y_n \neq"
_ONLY_INDICES = "Note that ignore_index is only applicable when the target contains class indices."

OPENINGS = (
    Opening(
        "a class of coefficient 0 whose logit is -inf",
        ("0·log 0 = NaN (IEEE)", "0·log 0 = 0"),
        "The formula has a term for every class. In IEEE arithmetic the term 0·log 0 is 0·∞ = NaN; "
        "as the limit of 0·log p it is 0. The pages name neither. It is closed where log softmax "
        "itself is NaN (every logit -inf, or a NaN among them): no limit makes 0·NaN a number.",
        on("002", r"l_n = -\sum_{c=1}^C w_c \log \frac{\exp(x_{n,c})}{\sum_{i=1}^C \exp(x_{n,i})}"),
    ),
    Opening(
        "label_smoothing of 1 where the logit of the target's class is -inf",
        ("targets mixed first", "(1 − ε)·log 0 = NaN (0·∞)"),
        "The mixture's coefficient of each class is then 1/C, and the loss ∞; written as two "
        "terms, the target's is 0·∞ = NaN. The pages give the mixture in words alone.",
        on(
            "002",
            "The targets become a mixture of the original ground truth and a uniform distribution",
        ),
    ),
    Opening(
        "an ignored sample whose log softmax is NaN, from a NaN or an infinity among its logits",
        ("ignored sample is absent", "ignored NaN spreads (NaN·0)"),
        "In words an ignored target “does not contribute to the input gradient”, so its NaN stays "
        "out of the loss and of every gradient. But the formula does not leave the sample out: it "
        "multiplies log softmax by 0, and NaN·0 is NaN; and the page calls the loss equivalent to "
        "LogSoftmax followed by NLLLoss, whose gradients are multiplied in the same way, so that "
        "the gradient of the ignored row is NaN·0 too. Neither sentence speaks of NaN, and neither "
        "outranks the other.",
        (
            *on("002", "does not contribute to the input gradient"),
            *on("002", _INDICATOR),
            *on(
                "002",
                "Note that this case is equivalent to the combination of "
                "[LogSoftmax](#) and [NLLLoss](#).",
            ),
        ),
    ),
    Opening(
        "+inf among the logits of a sample",
        ("shifted: NaN", "exp(x)/∞ = 0"),
        "The quotient as written is exp(x)/∞ = 0 for a finite logit; with the maximum subtracted, "
        "as every stable evaluation does, it is exp(-∞)/NaN. The two are equal for numbers only.",
        on("002", r"l_n = -w_{y_n} \log " + _INDICATOR),
    ),
    Opening(
        "the gradient of a mean over nothing",
        (
            "gradient of an empty mean by the formula",
            "gradient of an empty mean is 0",
            "gradient of an empty mean is NaN",
        ),
        "The mean itself is 0/0. No page says what the derivative of that is.",
        on("002", r"\sum_{n=1}^N \frac{1}{\sum_{n=1}^N w_{y_n} \cdot 1\{y_n \neq"),
    ),
    Opening(
        "a call that the pages describe without saying that it works",
        ("refused with an error", "accepted"),
        "A given ignore_index with probabilities: “only applicable” to class indices may mean "
        "without effect or not allowed. The mean over a batch of no samples: 0/0 is NaN, or an "
        "error.",
        on("001 003", _ONLY_INDICES),
    ),
    Opening(
        "a mean of the unit-scaled loss with ignored samples",
        ("mean over all elements of the output", "mean over non-ignored targets"),
        "The page says both.",
        on("001", "the sum of the output will be divided by the number of elements in the output")
        + on("001", "the loss is averaged over non-ignored targets"),
    ),
)


def opening_of(reading: str) -> Opening | None:
    """Return the question that a reading of this name answers.

    >>> opening_of("mean over non-ignored targets").why
    'The page says both.'
    """
    return next((opening for opening in OPENINGS if reading in opening.readings), None)
