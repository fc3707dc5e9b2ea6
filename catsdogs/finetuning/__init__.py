"""Training networks on the photographs themselves: what comes of it is just another backbone."""
