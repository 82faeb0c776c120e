"""What runs the cells of a sweep: `LocalEngine` on this machine, `RayEngine` on a cluster. Both speak to a `Watch`."""
