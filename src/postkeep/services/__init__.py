"""One package per thing with a name in the field; each has an API, its errors and its inside."""
