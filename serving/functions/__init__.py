"""A folder of code as a function: its bundle, its entry, the forms that Knative's functions have."""
