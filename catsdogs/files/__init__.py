"""Files: written whole or not at all, locked, sealed and checked, on this machine or in an object store."""
