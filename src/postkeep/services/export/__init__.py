"""Exports of a person's mail on an approved request: read with its grant (`reading`), written as one sealed
file (`sealed_file`, `members`), and taken out of it again anywhere (`unpacking`). Start in `reading`."""
