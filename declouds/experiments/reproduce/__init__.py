"""Tables that anyone can reproduce: what was published, what we expect, and what this machine obtains."""
