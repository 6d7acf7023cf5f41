"""Draws a study's tables into one page; reads CSV and JSON files only."""
