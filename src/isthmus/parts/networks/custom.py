"""A network of the user's own: any two torch modules.

Shapes: B rows, S the shape of a sample, D = product of S, K code units, H head outputs.
"""

import copy
from typing import Annotated, TypeGuard

import torch
from pydantic import Field, InstanceOf
from torch import Tensor, nn

from isthmus.errors import ParameterError
from isthmus.parts.halves import Halves, Sizes
from isthmus.parts.networks.dropout import Dropout
from isthmus.parts.networks.network import Network, Stage
from isthmus.parts.part import part
from isthmus.parts.slots import Code, Likelihood

Module = InstanceOf[nn.Module]


@part("custom")
class Custom(Network):
    """Two torch modules, of which each fit trains a copy, from the weights that they have.

    The encoder takes samples (B, *S) to heads (B, H), where H is ``n_components`` for most codes;
    the decoder takes codes (B, K) to samples (B, *S) or rows (B, D), natural parameters without
    the link (no sigmoid before ``"bernoulli"``). Dropout layers draw from the fit's own stream.
    The modules are code, which a saved model does not hold: give them again to
    ``load(path, network=Custom(encoder, decoder))``.
    """

    encoder: Annotated[Module, Field(description="samples to heads")]
    decoder: Annotated[Module, Field(description="codes to samples")]

    @property
    def hides(self) -> bool:
        return any(_drops(module) for half in self._halves for module in half.modules())

    @property
    def rows_apart(self) -> bool:
        batch_norms = nn.modules.batchnorm._BatchNorm
        return not any(isinstance(m, batch_norms) for half in self._halves for m in half.modules())

    def wants_pca(self, code: Code, likelihood: Likelihood) -> bool:
        return False

    def build(self, sizes: Sizes, generator: torch.Generator, *, linear_path: bool) -> Halves:
        shape = sizes.sample_shape
        encoder, decoder = (_own_dropout(copy.deepcopy(half)) for half in self._halves)
        first, second = OfSamples(encoder, shape), OfSamples(decoder, (sizes.n_components,))
        with torch.device("cpu"):  # they are tried even where others are built for their shapes
            heads = _tried("encoder", first, torch.zeros(2, sizes.n_features), sizes.n_head)
            codes = heads.new_zeros(2, sizes.n_components)
            _tried("decoder", second, codes, sizes.n_outputs)
        return Halves(first, second)

    def stages(
        self, halves: Halves, code: Code, memory: nn.Module, likelihood: Likelihood
    ) -> list[Stage]:
        return []

    @property
    def _halves(self) -> tuple[nn.Module, nn.Module]:
        return self.encoder, self.decoder

    def __str__(self) -> str:
        """Name the modules; no string makes them."""
        return f"custom({', '.join(type(half).__name__ for half in self._halves)})"


class OfSamples(nn.Module):
    """A module of samples as one of flat rows."""

    def __init__(self, module: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.module, self.shape = module, shape

    def forward(self, x: Tensor) -> Tensor:
        answer = self.module(x.view(-1, *self.shape))
        if not isinstance(answer, Tensor):
            raise TypeError(f"it answers a {type(answer).__name__}, and one tensor is needed")
        return answer.flatten(1)


@torch.no_grad()
def _tried(role: str, half: OfSamples, given: Tensor, n_wanted: int) -> Tensor:
    """Return what a half answers, or refuse one that fails or answers another number.

    So is one that draws from the global generator, in whatever layer, when it is trained.
    """
    training, trained = half.training, copy.deepcopy(half).train()
    for layer in trained.modules():
        if isinstance(layer, Dropout):
            layer.generator = torch.Generator(given.device)
    place = torch.get_rng_state()
    try:
        answer: Tensor = half.eval()(given)
        trained(given)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise ParameterError(
            f"The {role} of network 'custom' fails on input of shape "
            f"{(2, *half.shape)}: {str(error).splitlines()[0]}."
        ) from None
    half.train(training)
    moved = not torch.equal(place, torch.get_rng_state())
    torch.set_rng_state(place)
    if moved:
        raise ParameterError(
            f"The {role} of network 'custom' draws from torch's global generator, as dropout "
            f"within nn.LSTM or nn.TransformerEncoderLayer does, so that no fit could be repeated: "
            f"write its dropout as nn.Dropout layers."
        )
    if answer.shape != (2, n_wanted):
        raise ParameterError(
            f"The {role} of network 'custom' makes {answer[0].numel()} numbers of a sample, and "
            f"{n_wanted} are needed: change its last layer."
        )
    return answer


def _own_dropout(root: nn.Module) -> nn.Module:
    """Replace torch's dropout, which draws from the global generator, by the library's.

    Raises
    ------
    ParameterError
        If it is a kind of dropout that the library does not have.
    """
    if _drops(root):
        return _own(root)
    owned: dict[nn.Module, Dropout] = {}  # one that is used twice stays one
    for name, module in list(root.named_modules(remove_duplicate=False)):
        if _drops(module):
            parent, _, last = name.rpartition(".")
            setattr(root.get_submodule(parent), last, owned.setdefault(module, _own(module)))
    return root


def _own(module: "nn.modules.dropout._DropoutNd") -> Dropout:
    if not isinstance(module, nn.Dropout):
        raise ParameterError(
            f"A layer {type(module).__name__} of network 'custom' draws from torch's global "
            f"generator, so that no fit could be repeated: write nn.Dropout."
        )
    return Dropout(module.p)


def _drops(module: nn.Module) -> TypeGuard[nn.modules.dropout._DropoutNd]:
    return isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0
