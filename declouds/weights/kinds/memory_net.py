"""MemoryNet's official files: MPRNet's keys, and those of the memory."""

from typing import Any

from declouds.weights.kinds.kind import Kind, Shapes
from declouds.weights.kinds.mpr_net import MPR_NET


def _memory_net_config(shapes: Shapes) -> dict[str, Any]:
    items = shapes["memory.memory.weight"][0]
    parts = shapes["memory.memory.reweight_layer_part.weight"][0]
    prototypes = shapes["memory.memory.reweight_layer_ins.weight"][0]
    memory = dict(classes=items // (prototypes * parts), prototypes=prototypes, parts=parts)
    return MPR_NET.config_of(shapes) | dict(type="MemoryNet") | memory


MEMORY_NET = Kind(
    signature="memory.memory.weight",
    config_of=_memory_net_config,
    unused=None,
    extends=MPR_NET,
    rules=(
        (r"^memory\.memory\.weight$", "memory.items"),
        (r"^memory\.memory\.reweight_layer_part\.", "memory.part_gate."),
        (r"^memory\.memory\.reweight_layer_ins\.", "memory.prototype_gate."),
        *MPR_NET.rules,
    ),
)
