"""Write a page of one evaluation, or of several side by side, or the table of records."""
