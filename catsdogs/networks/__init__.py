"""Networks: the table of all that can be run, their weights, and what each learnt to tell apart."""
