"""Histories in a folder, by way of diskcache."""
