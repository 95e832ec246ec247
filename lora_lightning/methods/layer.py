"""What all trained layers share that stand in the place of a module of the base."""

from torch import Tensor, nn


class AdapterLayer(nn.Module):
    """A module in the place of one of the base, which it keeps as `base`.

    All parameters and persistent buffers outside of `base` are the adapter's: they are written,
    read and checked whatever their names are. Without a `merge` of its own a layer decodes as it
    trained.

    Attributes:
        base: the module in whose place it stands.
        only_calls_base: whether `forward` calls the base and looks at none of its tensors, so that
            decoding may lay out its weight.
    """

    base: nn.Module
    only_calls_base = False

    def adapter_parameters(self) -> dict[str, nn.Parameter]:
        """Return what the layer trains, by the name of the attribute."""
        return {
            name: parameter
            for name, parameter in self.named_parameters()
            if name.partition(".")[0] != "base"
        }

    @property
    def merged(self) -> bool:
        """Whether the base weight holds the update, so that the layer is its base."""
        return False

    def merge(self) -> None:
        """Add the update to the base weight, where that is possible."""

    def unmerge(self) -> None:
        """Restore the base weight bit for bit; does nothing if it is not merged."""

    def delta_norm(self) -> Tensor | None:
        """Return the Frobenius norm of what merging adds to the base weight, (); None: nothing."""
        return None
