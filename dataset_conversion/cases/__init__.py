"""From a patient read to a case of the dataset, the same for every source."""
