"""Floor 6: the command line: reads files, calls estimators, draws tables and progress."""
