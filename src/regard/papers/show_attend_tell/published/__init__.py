"""Checkpoint mappings for Show, Attend and Tell and for att2in."""

from regard.papers.show_attend_tell.published import arctic, att2in, tutorial

REFERENCES = (*arctic.REFERENCES, *tutorial.REFERENCES, *att2in.REFERENCES)
