"""Pictures that are drawn: of networks' insides, of flow, strips to compare."""
