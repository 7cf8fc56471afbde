"""From a proved formula to the source text of a kernel: vocabulary → ladder → plan → emit."""
