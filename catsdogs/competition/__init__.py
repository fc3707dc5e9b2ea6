"""A competition: what it is called, its photographs downloaded, its submission written, checked, graded, uploaded."""
