"""The commands: flags in, sentences out; a file for each room."""
