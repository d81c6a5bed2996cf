"""The commands of `speechpool`: each is a module with `configure(parser)` and `run(args)`."""
