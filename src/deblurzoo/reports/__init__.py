"""Results: `results.json`, run folders, tables, the HTML page, W&B."""
