"""Sites: the modules after which attention can be attached, found in one forward pass.

A table of families would need a line for every architecture there is. What a good place is can be seen in the pass
itself: the end of a residual branch is the module whose output is added to what came into its block.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from regard.attaching.layouts import Layout, layout_of, plausible
from regard.attaching.tracing import Run, Trace, evaluating, follow, in_words, tensors

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
NORMS = ("BatchNorm", "GroupNorm", "LayerNorm", "InstanceNorm", "RmsNorm", "RMSNorm")
WEIGHTS_END = (nn.Softmax, nn.Dropout, nn.Identity)  # after which B heads N N attention weights look like maps
POOLINGS = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveMaxPool2d, nn.AdaptiveAvgPool2d)
WILD = "*?["  # what makes a place a glob pattern
REDUCED = (128, 224)  # pixels of the examples tried first: several positions at stride 32, a multiple of 14


@dataclass(frozen=True, eq=False)
class Site:
    """A module after which attention can go.

    Args:
        name: its name in the model.
        module: the module.
        shape: B C H W of its output on the example, brought to that order.
        layout: the order that its output really has.
    """

    name: str
    module: nn.Module
    shape: tuple[int, int, int, int]
    layout: Layout

    @property
    def channels(self) -> int:
        return self.shape[1]


def survey(
    model: nn.Module, after: str | Sequence[str] | None = None, example: object = None, *, full_size: bool = False
) -> tuple[list[Site], tuple[object, ...]]:
    """Returns the sites as `attaching.sites` does, and the inputs on which the model ran."""
    view = _View(model, example, full_size)
    if after is not None:
        return view.distinct(view.named(name) for name in match(model, after)), view.inputs
    found = view.chosen()
    if not found:
        raise ValueError(
            f"no module of {type(model).__name__} outputs one map in a forward pass; name a module with after="
        )
    return found, view.inputs


def stages(model: nn.Module, example: object = None) -> list[Site]:
    """Returns the ends of the feature stages that timm declares, or the last module at every resolution.

    Args and Raises: as `attaching.sites`.
    """
    found = _View(model, example).stages()
    if not found:
        raise ValueError(f"no module of {type(model).__name__} outputs one map in a forward pass")
    return found


def last(model: nn.Module, example: object = None) -> Site:
    """Returns the last map with several positions on which the model's output depends.

    It is the end of a stage, of a resolution, or of a block that ends in a sum; before a pooling, its input. Where the
    head of a transformer reads the class token alone, it is the block before the last.

    Args and Raises: as `attaching.sites`.
    """
    view = _View(model, example)
    found = [site for site in view.ends() if site.shape[2:] != (1, 1) and not isinstance(site.module, POOLINGS)]
    if not found:
        raise ValueError(
            f"no module of {type(model).__name__} outputs one map of several positions in a forward pass; name a module"
        )
    return (view.heard(found) or found)[-1]


def named(model: nn.Module, names: Sequence[str], example: object = None) -> list[Site]:
    """Returns the site of each name, in the order of the names.

    Args and Raises: as `attaching.sites`.
    """
    view = _View(model, example)
    return [view.named(name) for name in names]


def at_places(model: nn.Module, places: Sequence[str], example: object = None) -> list[Site]:
    """Returns the sites at the places of a row such as `cbam@layer3+layer4.1.bn2`, in the order in which they run.

    A place without wildcards that is no usual site and has some inside it, such as a stage, stands for these; any other
    place is as `attaching.sites` takes it.

    Args:
        model, example: as `attaching.sites`.
        places: names of modules or glob patterns over them.

    Raises: as `attaching.sites`.
    """
    try:
        usual = [site.name for site in survey(model, None, example)[0]]
    except ValueError:  # none can be chosen
        usual = []
    wanted: list[str] = []
    for place in places:
        inside = [name for name in usual if name.startswith(f"{place}.")]
        plain = not any(character in place for character in WILD) and place not in usual
        wanted += inside if plain and inside else [place]
    return survey(model, wanted, example)[0]


def match(model: nn.Module, after: str | Sequence[str]) -> list[str]:
    """Returns the names of the modules that any of the patterns matches, in the order of the model.

    Raises:
        LookupError: a pattern matches none; the message names the nearest modules.
    """
    names = [name for name, _ in model.named_modules(remove_duplicate=False) if name]
    matched: set[str] = set()
    patterns = [after] if isinstance(after, str) else list(after)
    if not patterns:
        raise LookupError(f"after={after!r}: at least one pattern is needed; without after= the sites are chosen")
    for pattern in patterns:
        hits = [name for name in names if _fits(name.split("."), pattern.split("."))]
        if not hits:
            if across := [name for name in names if fnmatchcase(name, pattern)]:
                raise LookupError(
                    f"after={pattern!r} matches no module of {type(model).__name__}: a wildcard stops at dots; "
                    f"near: {', '.join(across[:3])}"
                )
            near = difflib.get_close_matches(pattern, names, n=3, cutoff=0.3) or names[:3]
            raise LookupError(f"after={pattern!r} matches no module of {type(model).__name__}; near: {', '.join(near)}")
        matched.update(hits)
    return [name for name in names if name in matched]


def _fits(name: list[str], pattern: list[str]) -> bool:
    return len(name) == len(pattern) and all(map(fnmatchcase, name, pattern))


class _View:
    """A model, and the trace of one forward pass through it."""

    def __init__(self, model: nn.Module, example: object, full_size: bool = False) -> None:
        self.model = model
        self.inputs, self.trace = _first_that_runs(model, example, full_size)
        self.runs = self.trace.ordered()
        self.batch, self.image = _batch_and_image(self.inputs)

    def site(self, run: Run) -> Site:
        """The site of a call. A container, whose children make up its forward, stands for its last child.

        Raises: ValueError saying what the module outputs.
        """
        if isinstance(run.module, CONTAINERS):
            inner = [maker for maker in run.makers if not isinstance(maker.module, CONTAINERS)]
            if not inner:
                raise ValueError(f"{run.name!r} is a {type(run.module).__name__}; name the module at its end instead")
            run = inner[-1]
        runs = self.trace.runs[run.module]
        what = (
            f"{run.name!r} ({type(run.module).__name__}) outputs {' and '.join(dict.fromkeys(r.output for r in runs))}"
        )
        if len(runs) > 1:
            raise ValueError(
                f"{what} in {len(runs)} calls; attention needs a module that is called once in a forward pass"
            )
        if run.shape is None or len(run.shape) not in (3, 4):
            raise ValueError(f"{what}; attention needs one map B C H W or B H W C, or tokens B N C")
        if run.shape[0] != self.batch:
            raise ValueError(f"{what} for a batch of {self.batch}; attention needs a map whose first axis is the batch")
        layout = layout_of(self.sources(run), run.shape, self.image, getattr(self.model, "num_prefix_tokens", None))
        if layout is None:
            raise ValueError(f"{what}; no number of class tokens leaves a grid of the aspect of the image")
        shape = layout.bring(torch.empty(run.shape, device="meta")).shape
        return Site(run.name, run.module, (shape[0], shape[1], shape[2], shape[3]), layout)

    def sources(self, run: Run) -> list[nn.Module]:
        """The module of a call, and the last layer inside it with an output of the same shape."""
        layers = [
            inner.module
            for inner in self.runs
            if run.start < inner.start and inner.end < run.end and inner.shape == run.shape
            if next(inner.module.parameters(recurse=False), None) is not None
        ]
        return [run.module, *layers[-1:]]

    def named(self, name: str) -> Site:
        """Raises: ValueError if the module is no site."""
        module = self.model.get_submodule(name)
        runs = self.trace.runs.get(module)
        if not runs:
            raise ValueError(f"{name!r} ({type(module).__name__}) is not called in the forward pass")
        return self.site(runs[-1])

    def possible(self, runs: Iterable[Run]) -> Iterator[Site]:
        """The sites of the calls that have one."""
        for run in runs:
            try:
                yield self.site(run)
            except ValueError:
                continue

    def distinct(self, sites: Iterable[Site]) -> list[Site]:
        """The sites without repeated modules, in the order in which they run."""
        unique = {site.module: site for site in sites}
        return sorted(unique.values(), key=lambda site: self.trace.runs[site.module][0].end)

    def useful(self, sites: Iterable[Site]) -> list[Site]:
        """The distinct sites, without attention weights B heads N N and maps of one channel."""
        found = self.distinct(sites)
        return [site for site in found if site.channels > 1 and plausible(site.shape[2:], self.image)]

    def chosen(self) -> list[Site]:
        """The ends of the residual branches, or the nearest substitute; the stages where few blocks have branches."""
        found, stages = self.branch_ends() or self.parallel_blocks(), self.stages()
        few = len(found) < len(stages) and 2 * _resolutions(found) <= _resolutions(stages)
        return self.heeded(stages if few else found)

    def heeded(self, found: list[Site]) -> list[Site]:
        """The sites without the last ones whose map the output ignores, as where only the class token is read."""
        while len(found) > 1 and found[-1].layout.prefix and self._ignores(found[-1]):
            found = found[:-1]
        return found

    def _ignores(self, site: Site) -> bool:
        def disturb(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
            return site.layout.put_back(site.layout.bring(output) * 2 + 1, output)

        with evaluating(self.model):
            before = list(tensors(self.model(*self.inputs)))
            handle = site.module.register_forward_hook(disturb)
            try:
                after = list(tensors(self.model(*self.inputs)))
            finally:
                handle.remove()
        return all(map(torch.equal, before, after))

    def heard(self, sites: Sequence[Site]) -> list[Site]:
        """The sites whose map has a gradient: unlike a change of the map, it survives gates of nearly 0."""
        outputs: dict[Site, Tensor] = {}
        handles = []
        for site in sites:

            def keep(module: nn.Module, inputs: object, output: Tensor, site: Site = site) -> Tensor:
                outputs[site] = output
                return output.clone()  # what follows may work in place

            handles.append(site.module.register_forward_hook(keep))
        try:
            with evaluating(self.model), torch.enable_grad():
                images, *rest = self.inputs
                assert isinstance(images, Tensor)
                returned = [t for t in tensors(self.model(images.clone().requires_grad_(), *rest)) if t.requires_grad]
                generator = torch.Generator().manual_seed(0)  # a plain sum of normalised values has no gradient
                score = sum((t * torch.randn(t.shape, generator=generator).to(t)).sum() for t in returned)
                if not isinstance(score, Tensor):
                    return []
                kept = [site for site in outputs if outputs[site].requires_grad]
                slopes = torch.autograd.grad(
                    score, [outputs[site] for site in kept], allow_unused=True, materialize_grads=True
                )
        finally:
            for handle in handles:
                handle.remove()
        found = {site for site, slope in zip(kept, slopes, strict=True) if site.layout.bring(slope).any()}
        return [site for site in sites if site in found]

    def branch_ends(self) -> list[Site]:
        """The last norm of every residual branch, or another module in which the branch ends."""
        ends: list[Site] = []
        for run in self.runs:
            if run.sum is None or not run.sum.residual:
                continue
            makers = [maker for maker in run.sum.branch if not isinstance(maker.module, CONTAINERS)]
            norms = [maker for maker in makers if any(norm in type(maker.module).__name__ for norm in NORMS)]
            learned = [maker for maker in makers if next(maker.module.parameters(), None) is not None]
            ends += list(self.possible([*norms[:1], *reversed(learned), *reversed(makers)]))[:1]
        return self.useful(ends)

    def parallel_blocks(self) -> list[Site]:
        """The blocks that end in a sum of branches, none of them a shortcut."""
        return self.useful(self.possible(run for run in self.runs if run.sum))

    def stages(self) -> list[Site]:
        """The ends of timm's feature stages; where one of them is no site, the resolutions if these are more."""
        modules = dict(self.model.named_modules())
        declared = [info.get("module") for info in getattr(self.model, "feature_info", None) or ()]
        runs = [run for name in declared if name in modules for run in self.trace.runs.get(modules[name], [])[-1:]]
        found = self.useful(self.possible(runs))
        if declared and len(found) == len(declared):
            return found
        return max(found, self.resolutions(), key=_resolutions)

    def ends(self) -> list[Site]:
        """All ends of stages, of resolutions and of blocks, in the order in which they run."""
        return self.distinct([*self.stages(), *self.resolutions(), *self.parallel_blocks()])

    def resolutions(self) -> list[Site]:
        """The last 4-D map at every resolution, without pooled vectors and the model's own output."""
        result = self.trace.result or ()
        maps = [run for run in self.runs if run.name and run.shape != result and run.shape and len(run.shape) == 4]
        last: dict[tuple[int, ...], Site] = {}
        for site in self.possible(maps):
            classes = len(result) > 1 and site.channels == result[1]
            if not classes and site.shape[2:] != (1, 1) and not isinstance(site.module, WEIGHTS_END):
                last[site.shape[2:]] = site
        return self.useful(last.values())


def _resolutions(found: list[Site]) -> int:
    return len({site.shape[2:] for site in found})


def _batch_and_image(inputs: object) -> tuple[int, tuple[int, int] | None]:
    found = list(tensors(inputs))
    if not found or found[0].ndim == 0:
        raise ValueError(f"example={in_words(inputs)}: a tensor with a batch, or a tuple of them, is needed")
    images = [(tensor.shape[2], tensor.shape[3]) for tensor in found if tensor.ndim == 4]
    return found[0].shape[0], images[0] if images else None


def _first_that_runs(model: nn.Module, example: object, full_size: bool) -> tuple[tuple[object, ...], Trace]:
    """Returns the example, or the first of the likely ones, on which the model runs, and the trace of that pass."""
    if example is None:
        candidates: Iterable[tuple[object, ...]] = _likely(model, full_size)
    else:
        candidates = [example if isinstance(example, tuple) else (example,)]
    problem: Exception | None = None
    inputs: tuple[object, ...] = ()
    for inputs in candidates:
        _batch_and_image(inputs)
        try:
            return inputs, follow(model, inputs)
        except Exception as error:
            problem = error
    shown = ", ".join(map(in_words, inputs))
    cause = str(problem).partition("\n")[0] or type(problem).__name__
    hint = "; give an example= that it takes" if example is None else ""
    raise ValueError(f"{type(model).__name__} does not run on an example of {shown}: {cause}{hint}") from problem


def _likely(model: nn.Module, full_size: bool) -> Iterator[tuple[Tensor]]:
    """Yields random images that the model may accept, the cheapest first unless the full size is wanted."""
    config = getattr(model, "pretrained_cfg", None) or {}
    sizes = [tuple(config.get("input_size") or (3, 224, 224))[1:]]
    built = getattr(getattr(model, "patch_embed", None), "img_size", None)  # differs when timm was told another size
    if isinstance(built, tuple) and built not in sizes:
        sizes.insert(0, built)
    elif config and not config.get("fixed_input_size") and not full_size:
        sizes = [(side, side) for side in REDUCED if side < min(sizes[0])] + sizes
    convolution = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    channels = dict.fromkeys([convolution.in_channels if convolution else 3, 3])
    weight = next((parameter for parameter in model.parameters() if parameter.is_floating_point()), torch.empty(0))
    for number in channels:
        for size in sizes:
            image = torch.randn(2, number, *size, generator=torch.Generator().manual_seed(0))
            yield (image.to(weight.device, weight.dtype),)
