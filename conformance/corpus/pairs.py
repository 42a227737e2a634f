"""Cases in which two kinds of values meet that meet in no other.

A fault may need two things at once: weights in a call that asks for no gradient, a smoothing of 1
in a repeated call.  A greedy search over random cases found these; ``test_corpus_pairs.py`` says
what must meet, and names what does not.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..case import Case

FOUND = (
    "ce/index/2x3x2x2/f16/mean,size_average=true,reduce=true,weight=mixed,ignore_index=1,ignored=some,smoothing=1.0,grad=skip,seed=35",
    "ce/index/3x4x2/bf16/none,form=module,reduce=false,ignored=some,smoothing=1.0,grad=negative,script=stale,seed=19",
    "ce/index/5/f64/none,form=module,size_average=false,weight=mixed,smoothing=1.0,script=again,seed=10",
    "ce/prob/5/bf16/none,form=module,reduce=false,weight=mixed,smoothing=0.1,grad=skip,seed=1",
    "ce/prob/2x3x2x2/f64/default,form=module,size_average=false,reduce=true,smoothing=1.0,grad=mixed,script=twice,seed=18",
    "linear/index/3-4/bf16/none,form=module,weight=mixed,ignore_index=-7,ignored=first,smoothing=1.0,grad=skip,bias=yes,options=auto,retain=yes,seed=48",
    "linear/index/3x3-4x2x2/bf16/sum,form=module,weight=mixed,ignore_index=1,ignored=last,smoothing=0.1,script=stale,bias=yes,options=auto,retain=yes,seed=14",
    "linear/index/4x3-4x2/f64/default,ignore_index=1,ignored=some,smoothing=1.0,grad=negative,script=again,options=chunk2,retain=yes,seed=36",
    "linear/index/3-4/f64/sum,form=module,weight=mixed,ignore_index=1,ignored=first,smoothing=1.0,grad=mixed,script=twice,options=compact,retain=yes,seed=9",
    "linear/prob/3-4/bf16/mean,weight=mixed,smoothing=0.1,grad=mixed,script=again,bias=yes,options=auto,retain=yes,seed=23",
    "linear/index/3x3-4x2x2/f16/none,ignore_index=1,ignored=some,smoothing=1.0,grad=skip,bias=yes,options=compact,retain=yes,seed=1",
    "linear/index/4x3-4x2/bf16/none,form=module,weight=mixed,ignore_index=-7,ignored=last,smoothing=1.0,grad=negative,script=stale,seed=22",
    "linear/index/3x3-4x2x2/bf16/default,ignore_index=-7,ignored=last,smoothing=0.1,grad=mixed,script=twice,options=auto,retain=yes,seed=16",
    "linear/prob/4x3-4x2/f64/mean,form=module,weight=mixed,smoothing=0.1,grad=skip,bias=yes,options=auto,retain=yes,seed=24",
    "linear/index/3x3-4x2x2/f32/mean,form=module,weight=mixed,ignore_index=-7,ignored=some,smoothing=1.0,grad=negative,script=again,bias=yes,options=compact,seed=19",
    "linear/index/3-4/f16/sum,ignore_index=1,ignored=first,smoothing=0.1,grad=negative,script=stale,seed=10",
    "linear/prob/3-4/f64/mean,weight=mixed,smoothing=1.0,script=stale,bias=yes,options=auto,retain=yes,seed=32",
    "oneflow/index/2x3x2x2/f32/sum,form=module,weight=mixed,ignore_index=1,ignored=last,smoothing=0.1,grad=skip,seed=41",
    "oneflow/index/2x3x2x2/f64/none,form=module,ignore_index=1,ignored=last,grad=mixed,script=again,seed=11",
    "unit/index/5/bf16/sum,form=module,ignore_index=1,ignored=first,grad=negative,script=again,mult=0.5,seed=17",
    "unit/index/2x3x2x2/f64/none,form=module,ignore_index=1,ignored=last,grad=skip,mult=3.0,seed=34",
    "unit/index/3x4x2/bf16/mean,form=module,ignore_index=1,ignored=some,script=twice,mult=3.0,seed=47",
    "unit/index/2x3x2x2/bf16/default,ignore_index=1,ignored=last,script=stale,mult=0.5,seed=27",
    "unit/index/2x3x2x2/f16/none,form=module,ignore_index=-7,ignored=last,grad=mixed,script=twice,mult=3.0,seed=39",
    "unit/index/5/f64/none,ignore_index=1,ignored=first,grad=skip,mult=3.0,seed=3",
)


def cases() -> Iterator[Case]:
    """All of them."""
    yield from map(Case.parse, FOUND)
