"""The numbers of the four words that every vocabulary of the library begins with."""

PAD, START, END, UNKNOWN = 0, 1, 2, 3
SPECIAL = ("<pad>", "<start>", "<end>", "<unk>")
