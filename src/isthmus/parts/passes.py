"""What one pass makes of a batch, as codes, corruptions and penalties give or meet it.

Shapes: B rows of a batch, D features, K code units, H head outputs, O outputs of the decoder,
S draws of a row's code, 1 for most codes. "Scaled" rows are what the network sees.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor


class Seen(NamedTuple):
    """Rows as the encoder is to see them.

    Attributes
    ----------
    rows : Tensor (B, D)
        Scaled.
    judged : Tensor (B, D) of bool, or None
        Which values the likelihood judges; None: all.
    """

    rows: Tensor
    judged: Tensor | None = None


class Drawn(NamedTuple):
    """What a code makes of the encoder's head.

    Attributes
    ----------
    z : Tensor (B S, K)
        What the decoder sees: S draws of each row, one after the other, or those that count.
    mean : Tensor (B, K)
        The deterministic code, as `Code.mean` gives it.
    divergence : Tensor (B S,), or None
        Nats of each draw, weighted; None: the code costs nothing.
    log_q_weight : float
        Weight of log q(z|x) within the divergence, where its gradient goes by way of z alone.
    """

    z: Tensor
    mean: Tensor
    divergence: Tensor | None
    log_q_weight: float = 0.0


class Pass(NamedTuple):
    """One forward pass, as penalties see it; gradients go through all that is made here.

    B rows of a batch, D features, K code units, H outputs of the encoder, O of the decoder, S draws
    of a row's code: 1, but for codes that draw several.

    Attributes
    ----------
    x : Tensor (B, D)
        The clean rows, scaled.
    seen : Tensor (B, D)
        The rows that the encoder saw, scaled: with the noise, if there is any.
    head : Tensor (B, H)
        What the encoder made of them.
    code : Drawn
        What the code made of the head: ``code.z`` (B S, K), ``code.mean`` (B, K).
    output : Tensor (B S, O)
        What the decoder made of ``code.z``: natural parameters, without the likelihood's link.
    encode : callable
        Scaled rows (B, D) to deterministic codes (B, K).
    mean : callable
        Heads (B, H) to deterministic codes (B, K).
    elementwise : bool
        Whether each code unit depends on its own output of the head alone.
    nll : callable
        Outputs (B, O) to the nats of these clean rows, (B,).
    """

    x: Tensor
    seen: Tensor
    head: Tensor
    code: Drawn
    output: Tensor
    encode: Callable[[Tensor], Tensor]
    mean: Callable[[Tensor], Tensor]
    elementwise: bool
    nll: Callable[[Tensor], Tensor]
