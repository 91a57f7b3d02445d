"""What a run hands over: labels, the best model, its predictions, and a report."""
