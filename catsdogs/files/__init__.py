"""Files: whole or not there, locked, sealed and proved, on this machine or in an object store."""
