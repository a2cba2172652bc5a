"""What stands in the cluster, typed: our custom resources, Jobs, pods, nodes; and what a pod tells, without trust."""
