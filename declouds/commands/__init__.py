"""One module a sub-command, each with HELP, add_arguments(parser) and run(args), light to import."""
