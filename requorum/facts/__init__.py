"""Per noun a command and a pure parser. No I/O here: `requorum.survey` runs the commands."""
