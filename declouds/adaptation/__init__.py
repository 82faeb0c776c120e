"""A model of one's own from clear images alone: the general model, trained further under simulated clouds."""
