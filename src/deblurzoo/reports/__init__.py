"""Results: the model of `results.json`, run folders, tables, the page, W&B."""
