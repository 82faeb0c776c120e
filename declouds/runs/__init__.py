"""The record of a run: written while it trains, read, listed and filtered afterwards."""
